package logs

import (
	"os"

	"golang.org/x/sys/unix"
)

// writerGone reports whether nobody writes f any more: its writer holds an exclusive lock
// for as long as it lives.
func writerGone(f *os.File) bool {
	fd := int(f.Fd())
	if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return false
	}
	unix.Flock(fd, unix.LOCK_UN)
	return true
}
