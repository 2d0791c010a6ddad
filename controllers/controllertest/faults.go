package controllertest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// Trial is a story that controllers are put through, and what of its end must be the same
// whatever happens on the way.
type Trial struct {
	Name        string
	Nodes       int
	Controllers []Make // one process
	// Begin sets the stage, before any controller runs: objects, and how pods end.
	Begin func(w *World)
	// Acts are what users do, one after the other, each when the one before has come to rest.
	Acts []func(w *World)
	// Always is called four times a second and fails the test if what must hold at all times does not;
	// leaders is how many controllers run at once. Nil: nothing is checked.
	Always func(w *World, leaders int)
	// AtRest tells whether the last act (or Begin) has come to its end.
	AtRest func(w *World) bool
	// State tells the end in words.
	State func(w *World) string
	// Want is what State must be in the end. Empty: whatever it is without faults.
	Want string
	// Leaders is with how many controllers at once the story is told too. Default: none but one.
	Leaders int
	// Lag is by how much a single leader's view lags at most. Default 3s.
	Lag time.Duration
	// Seeds is how many random runs there are. Default 10.
	Seeds int
}

// patience is how long an act may take, of virtual time.
const patience = time.Hour

// Faults tells each story without faults first, then kills the controllers at every one of their
// writes in turn, before it is made and after, and then at random, on stale views and with
// writes that fail; of several leaders each is also paused now and then before it writes. The end must
// always be the first one's.
func Faults(t *testing.T, trials ...Trial) {
	for _, tr := range trials {
		t.Run(tr.Name, func(t *testing.T) {
			var want string
			t.Run("without faults", func(t *testing.T) { want = tr.tell(t, tr.flawless) })
			if tr.Want != "" && want != tr.Want {
				t.Errorf("the end is\n%s, want\n%s", want, tr.Want)
			}
			if want == "" || t.Failed() {
				return
			}
			t.Log("the end:", want)
			check := func(name string, how func(w *World) cast) {
				t.Run(name, func(t *testing.T) {
					if got := tr.tell(t, how); got != want {
						t.Errorf("the end is\n%s, want\n%s", got, want)
					}
				})
			}
			for _, after := range []bool{false, true} {
				for n, more := 1, true; more && !t.Failed(); n += 1 + n/20 {
					check(fmt.Sprintf("killed at write %d, made %v", n, after), func(w *World) cast {
						return tr.killedOnce(w, n, after, &more)
					})
				}
			}
			for leaders := 1; leaders <= max(1, tr.Leaders); leaders++ {
				for seed := range uint64(tr.seeds()) {
					check(fmt.Sprintf("%d leaders, seed %d", leaders, seed), func(w *World) cast {
						return tr.atRandom(w, leaders, rand.New(rand.NewPCG(seed, uint64(leaders))))
					})
				}
			}
		})
	}
}

// cast is who plays the controllers.
type cast struct {
	leaders int
	// look replaces who has died; it is called all the time.
	look func()
	stop func()
}

// tell plays the story to its end and returns that.
func (tr Trial) tell(t *testing.T, how func(w *World) cast) (end string) {
	t.Helper()
	In(t, tr.Nodes, true, func(w *World) {
		defer w.LogDecisions()
		w.Tick(2 * time.Second)
		tr.Begin(w)
		c := how(w)
		defer c.stop()
		tr.wait(w, c)
		for _, act := range tr.Acts {
			act(w)
			tr.wait(w, c)
		}
		end = tr.State(w)
	})
	return end
}

// wait lets time pass until the story is at rest, and then some more: at rest must be for good.
func (tr Trial) wait(w *World, c cast) {
	w.Helper()
	calm := 0
	for range int(patience / (250 * time.Millisecond)) {
		w.Tick(250 * time.Millisecond)
		c.look()
		if tr.Always != nil {
			tr.Always(w, c.leaders)
		}
		if w.Failed() {
			w.FailNow()
		}
		if calm++; !tr.AtRest(w) {
			calm = 0
		}
		if calm > 60 {
			return
		}
	}
	w.Fatalf("no rest within %v: %s", patience, tr.State(w))
}

func (tr Trial) flawless(w *World) cast {
	return cast{leaders: 1, look: func() {}, stop: w.Start(w.As(), tr.Controllers...)}
}

// killedOnce has the controllers die at the n-th write, and others go on. more becomes false
// when there were fewer writes.
func (tr Trial) killedOnce(w *World, n int, after bool, more *bool) cast {
	m := clienttest.NewMortal(w.As(), n, after)
	stop := w.Start(m, tr.Controllers...)
	*more = false
	return cast{
		leaders: 1,
		look: func() {
			if m.IsDead() && !*more {
				*more = true
				stop()
				stop = w.Start(w.As(), tr.Controllers...)
			}
		},
		stop: func() { stop() },
	}
}

// enough is after how many decisions nothing is broken any more, so that the story can end.
const enough = 400

// atRandom has leaders that look at stale views, whose writes fail now and then, and who die.
func (tr Trial) atRandom(w *World, leaders int, chance *rand.Rand) cast {
	lag := tr.Lag
	if lag == 0 {
		lag = 3 * time.Second
	}
	lag /= time.Duration(leaders * leaders * leaders)
	current, stops := make([]*clienttest.Mortal, leaders), make([]func(), leaders)
	begin := func(i int) {
		left, flaws := 1+chance.IntN(12), 20
		if len(w.Decisions.Since(0)) > enough {
			left, flaws = -1, 0
		}
		var t client.Transport = clienttest.NewLate(w.As(), lag, chance.Uint64())
		t = clienttest.NewFlaky(t, 0.1, flaws, rand.New(rand.NewPCG(chance.Uint64(), 1)))
		if leaders > 1 {
			t = clienttest.NewPausing(t, 0.2, lag, flaws, rand.New(rand.NewPCG(chance.Uint64(), 2)))
		}
		current[i] = clienttest.NewMortal(t, left, chance.IntN(2) == 0)
		stops[i] = w.Start(current[i], tr.Controllers...)
	}
	for i := range leaders {
		begin(i)
	}
	return cast{
		leaders: leaders,
		look: func() {
			for i, m := range current {
				if m.IsDead() {
					stops[i]()
					begin(i)
				}
			}
		},
		stop: func() {
			for _, stop := range stops {
				stop()
			}
		},
	}
}

func (tr Trial) seeds() int {
	if tr.Seeds == 0 {
		return 10
	}
	return tr.Seeds
}
