package model

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	seeds     = flag.Uint64("seeds", 4, "how many seeds are played on each store")
	forever   = flag.Bool("forever", false, "go on with further seeds until something is wrong")
	steps     = flag.Int("steps", 120, "what each client does")
)

const clients = 4

func TestModelInMemory(t *testing.T) { playSeeds(t, false) }
func TestModelOnEtcd(t *testing.T)   { playSeeds(t, true) }

func playSeeds(t *testing.T, onEtcd bool) {
	for seed := *firstSeed; (*forever || seed < *firstSeed+*seeds) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { play(t, seed, onEtcd) })
	}
}

// play lets clients loose on a server and then checks all that they saw. With every third seed
// the server is left alone, and then no request may fail.
func play(t *testing.T, seed uint64, onEtcd bool) {
	w := newWorld(t, seed, onEtcd)
	w.calm = seed%3 == 0
	watchCtx, endWatches := context.WithCancel(w.ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer endWatches()
	for n := range 6 {
		c := w.client(100 + n)
		s, from := c.newSelection(), c.revision()
		if n%2 == 0 {
			from = 0
		}
		watchers.Go(func() { c.follow(watchCtx, s, from) })
	}
	w.playClients()

	h := newHistory(w.truth.settle(w))
	last := w.truth.progress()
	for _, wt := range w.running() {
		if !wt.caughtUp(h, last) {
			t.Errorf("%v stands at %d and does not reach %d", wt, wt.reached, last)
		}
	}
	endWatches()
	watchers.Wait()
	w.checkChanges(h)
	for _, rd := range w.reads {
		w.checkRead(h, rd)
	}
	for _, wt := range w.watches {
		wt.check(w, h)
	}
	w.checkSubstance(h)
}

// playClients returns when all have done what they wanted and nobody disturbs the server.
func (w *world) playClients() {
	var all, disturbance sync.WaitGroup
	quiet := make(chan struct{})
	if !w.calm {
		disturbance.Go(func() { w.disturb(quiet) })
	}
	for n := range clients {
		c := w.client(n)
		all.Go(func() {
			for n := 0; n < *steps+min(c.vain, 100**steps); n++ { // what was in vain does not count
				switch n := c.r.IntN(10); {
				case n == 0:
					c.list(w.ctx)
				case n < 3:
					c.get(w.ctx)
				default:
					c.act(w.ctx)
				}
			}
		})
	}
	all.Wait()
	close(quiet)
	disturbance.Wait()
}

func (w *world) running() (out []*watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wt := range w.watches {
		wt.mu.Lock()
		if !wt.ended {
			out = append(out, wt)
		}
		wt.mu.Unlock()
	}
	return out
}

// checkSubstance: a run in which little happened shows nothing.
func (w *world) checkSubstance(h *history) {
	done := map[verb]int{}
	for _, o := range w.ops {
		if o.Reason == "" && !o.Lost {
			done[o.Verb]++
		}
	}
	w.Logf("%d requests, %d changes, %d reads, %d watches; done: %v", len(w.ops), len(h.changes), len(w.reads), len(w.watches), done)
	if len(h.changes) < *steps/4 || len(w.reads) < *steps/4 || len(done) < 10 {
		w.Error("too little happened")
	}
}
