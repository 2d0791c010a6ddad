package scheduler

// tournament finds the best of many numbers while single ones change: a binary tree in which
// each inner node knows the best below it and how often it occurs.
type tournament struct {
	leaves int // a power of two
	top    []int64
	ties   []int32 // 0: nobody takes part
}

// reset makes room for n numbers; nobody takes part.
func (t *tournament) reset(n int) {
	t.leaves = 1
	for t.leaves < n {
		t.leaves *= 2
	}
	if len(t.top) != 2*t.leaves {
		t.top, t.ties = make([]int64, 2*t.leaves), make([]int32, 2*t.leaves)
		return
	}
	clear(t.top)
	clear(t.ties)
}

// at returns the number of the i-th, which must take part.
func (t *tournament) at(i int) int64 { return t.top[t.leaves+i] }

// put sets the number of the i-th without working out who is best: call build after.
func (t *tournament) put(i int, score int64) { t.top[t.leaves+i], t.ties[t.leaves+i] = score, 1 }

// numbers returns the numbers of all by place, to be worked out before build.
func (t *tournament) numbers() []int64 { return t.top[t.leaves:] }

func (t *tournament) build() {
	for n := t.leaves - 1; n > 0; n-- {
		t.play(n)
	}
}

// set lets the i-th take part with a number.
func (t *tournament) set(i int, score int64) {
	t.put(i, score)
	t.climb(i)
}

// drop takes the i-th out.
func (t *tournament) drop(i int) {
	t.ties[t.leaves+i] = 0
	t.climb(i)
}

func (t *tournament) climb(i int) {
	for n := (t.leaves + i) / 2; n > 0; n /= 2 {
		t.play(n)
	}
}

// play works out one inner node from the two below.
func (t *tournament) play(n int) {
	a, b := 2*n, 2*n+1
	switch {
	case t.ties[a] == 0 || t.ties[b] > 0 && t.top[b] > t.top[a]:
		t.top[n], t.ties[n] = t.top[b], t.ties[b]
	case t.ties[b] == 0 || t.top[a] > t.top[b]:
		t.top[n], t.ties[n] = t.top[a], t.ties[a]
	default:
		t.top[n], t.ties[n] = t.top[a], t.ties[a]+t.ties[b]
	}
}

// best returns the place and number of the best; of several chance takes one. ok is false if
// nobody takes part.
func (t *tournament) best(rand func() float64) (i int, score int64, ok bool) {
	if len(t.ties) == 0 || t.ties[1] == 0 {
		return 0, 0, false
	}
	score = t.top[1]
	skip := pick(int(t.ties[1]), rand)
	n := 1
	for n < t.leaves {
		n *= 2
		if t.ties[n] > 0 && t.top[n] == score {
			if skip < int(t.ties[n]) {
				continue
			}
			skip -= int(t.ties[n])
		}
		n++
	}
	return n - t.leaves, score, true
}

// pick returns a number in [0, n), by chance.
func pick(n int, rand func() float64) int { return min(int(rand()*float64(n)), n-1) }
