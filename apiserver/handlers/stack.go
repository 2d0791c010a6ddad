package handlers

// room is what a write needs of the stack, from here down to etcd.
const room = 14 << 10

// makeRoom grows the goroutine's stack in one step, while there is little on it to move.
// net/http begins a goroutine with a small stack for each request of HTTP/2; it would be
// doubled and copied several times on the way down, which is a twentieth of the cost of a
// create. The garbage collector takes back what a goroutine that lives on does not use.
//
//go:noinline
func makeRoom(at int) byte {
	var stack [room]byte
	return stack[at%room]
}
