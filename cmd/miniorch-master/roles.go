package main

import (
	"context"
	"errors"
	"sync"

	"github.com/miniorch/miniorch/apiserver/registry/core"
)

// roles knows which components of this process are at work, or stand by to lead:
// `kubectl get componentstatuses` shows them.
type roles struct {
	mu      sync.Mutex
	running map[string]bool // guarded by mu
}

// begin notes that a component runs, until the returned function is called.
func (r *roles) begin(name string) (end func()) {
	r.set(name, true)
	return func() { r.set(name, false) }
}

func (r *roles) set(name string, running bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[string]bool{}
	}
	r.running[name] = running
}

// component is how ComponentStatus asks for one of them.
func (r *roles) component(name string) core.Component {
	return core.Component{Name: name, Check: func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.running[name] {
			return errors.New("it does not run in the API server's process")
		}
		return nil
	}}
}
