package kubelet

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/container"
)

// observation is what is known of all containers on the node: read from the runtime once
// per connection, then kept up to date by its events and by what we do ourselves.
type observation struct {
	mu     sync.Mutex
	byID   map[string]container.Container      // guarded by mu
	byPod  map[types.UID]map[string]bool       // guarded by mu; container IDs
	oom    map[string]bool                     // guarded by mu; containers in which the kernel killed something
	early  map[string]container.ContainerEvent // guarded by mu; exits of containers not known yet
	loaded chan struct{}                       // closed after the first read
	once   sync.Once
	waits  map[string]chan struct{} // guarded by mu; closed when that container changes

	steps          int            // guarded by mu; counts what we added and removed
	added, removed map[string]int // guarded by mu; at which step, since the last reset
}

func newObservation() *observation {
	return &observation{
		byID: map[string]container.Container{}, byPod: map[types.UID]map[string]bool{},
		oom: map[string]bool{}, early: map[string]container.ContainerEvent{}, waits: map[string]chan struct{}{},
		added: map[string]int{}, removed: map[string]int{}, loaded: make(chan struct{}),
	}
}

// mark returns a point in time for reset.
func (o *observation) mark() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.steps
}

// reset takes over what the runtime listed since mark, and returns the pods concerned: those
// of before and those of now. What happened while the list was made is not undone by it.
func (o *observation) reset(all []container.Container, mark int) []types.UID {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, pods := o.byID, map[types.UID]bool{}
	for uid := range o.byPod {
		pods[uid] = true
	}
	o.byID, o.byPod = map[string]container.Container{}, map[types.UID]map[string]bool{}
	for _, c := range all {
		if at, gone := o.removed[c.ID]; gone && at > mark {
			continue
		}
		if known, ok := old[c.ID]; ok && progress(known.State) > progress(c.State) {
			c = known
		}
		o.put(c)
		pods[types.UID(c.PodUID)] = true
	}
	for id, c := range old {
		if _, listed := o.byID[id]; !listed {
			if o.added[id] > mark {
				o.put(c)
			} else {
				o.notify(id)
			}
		}
	}
	clear(o.added)
	clear(o.removed)
	o.once.Do(func() { close(o.loaded) })
	return slices.Collect(maps.Keys(pods))
}

// progress orders the states: a container never goes back.
func progress(s container.State) int {
	return slices.Index([]container.State{container.StateCreated, container.StateRunning, container.StateExited}, s)
}

func (o *observation) put(c container.Container) {
	uid := types.UID(c.PodUID)
	if o.byPod[uid] == nil {
		o.byPod[uid] = map[string]bool{}
	}
	o.byPod[uid][c.ID] = true
	o.byID[c.ID] = c
	o.notify(c.ID)
}

func (o *observation) notify(id string) {
	if wait, ok := o.waits[id]; ok {
		close(wait)
		delete(o.waits, id)
	}
}

// watch returns a container as it is (the zero value if it is gone) and a channel that is
// closed at its next change.
func (o *observation) watch(id string) (container.Container, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.byID[id]; !known {
		return container.Container{}, nil
	}
	wait, ok := o.waits[id]
	if !ok {
		wait = make(chan struct{})
		o.waits[id] = wait
	}
	return o.byID[id], wait
}

// count counts the containers in a state.
func (o *observation) count(s container.State) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, c := range o.byID {
		if c.State == s {
			n++
		}
	}
	return n
}

// add makes a container known that we made.
func (o *observation) add(c container.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps++
	o.added[c.ID] = o.steps
	o.put(c)
	if e, ok := o.early[c.ID]; ok {
		delete(o.early, c.ID)
		o.advance(e)
	}
}

// change edits a known container.
func (o *observation) change(id string, f func(*container.Container)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.byID[id]; ok {
		f(&c)
		o.put(c)
	}
}

// event applies what the runtime reports and returns the pod concerned.
func (o *observation) event(e container.ContainerEvent) (types.UID, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.byID[e.ID]; !known {
		if e.Type == container.EventExited && len(o.early) < 1024 {
			o.early[e.ID] = e
		}
		return "", false
	}
	return o.advance(e), true
}

// advance moves a known container along; states only go forward.
func (o *observation) advance(e container.ContainerEvent) types.UID {
	c := o.byID[e.ID]
	switch {
	case e.Type == container.EventOOM:
		o.oom[e.ID] = true
		if c.State == container.StateExited && c.ExitCode != 0 {
			c.Reason = container.ReasonOOMKilled
		}
	case e.Type == container.EventStarted && c.State == container.StateCreated:
		c.State, c.StartedAt, c.PID = container.StateRunning, e.Time, e.PID
	case e.Type == container.EventExited && c.State != container.StateExited:
		exit(&c, e, o.oom[e.ID])
	}
	o.put(c)
	return types.UID(c.PodUID)
}

func exit(c *container.Container, e container.ContainerEvent, oom bool) {
	c.State, c.ExitCode, c.FinishedAt, c.PID = container.StateExited, e.ExitCode, e.Time, 0
	if c.StartedAt.IsZero() {
		c.StartedAt = e.Time
	}
	switch {
	case oom && e.ExitCode != 0:
		c.Reason = container.ReasonOOMKilled
	case e.ExitCode == 0:
		c.Reason = container.ReasonCompleted
	default:
		c.Reason = container.ReasonError
	}
}

func (o *observation) remove(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.byID[id]
	if !ok {
		return
	}
	o.steps++
	o.removed[id] = o.steps
	delete(o.byID, id)
	delete(o.added, id)
	delete(o.oom, id)
	o.notify(id)
	uid := types.UID(c.PodUID)
	delete(o.byPod[uid], id)
	if len(o.byPod[uid]) == 0 {
		delete(o.byPod, uid)
	}
}

// of returns a pod's containers in no particular order.
func (o *observation) of(uid types.UID) []container.Container {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]container.Container, 0, len(o.byPod[uid]))
	for id := range o.byPod[uid] {
		out = append(out, o.byID[id])
	}
	return out
}

// pods lists the pods that have containers.
func (o *observation) pods() []types.UID {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]types.UID, 0, len(o.byPod))
	for uid := range o.byPod {
		out = append(out, uid)
	}
	return out
}
