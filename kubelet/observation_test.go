package kubelet

import (
	"testing"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// What a late list says never undoes what is known already.
func TestObservationOnlyGoesForward(t *testing.T) {
	o := newObservation()
	at := time.Unix(100, 0)
	state := func(id string) container.State { c, _ := o.watch(id); return c.State }
	o.event(container.ContainerEvent{Type: container.EventExited, ID: "quick", ExitCode: 3, Time: at})
	o.add(container.Container{ID: "quick", PodUID: "p", State: container.StateCreated})
	if state("quick") != container.StateExited {
		t.Error("an exit that came before its container was known is lost")
	}
	o.add(container.Container{ID: "a", PodUID: "p", State: container.StateCreated})
	mark := o.mark()
	o.event(container.ContainerEvent{Type: container.EventStarted, ID: "a", Time: at})
	o.add(container.Container{ID: "late", PodUID: "p", State: container.StateCreated})
	o.remove("quick")
	o.reset([]container.Container{{ID: "a", PodUID: "p", State: container.StateCreated}, {ID: "quick", PodUID: "p"}}, mark)
	if state("a") != container.StateRunning {
		t.Error("a late list undid a start")
	}
	if state("late") != container.StateCreated {
		t.Error("a container that was made while the list was is lost")
	}
	if len(o.of("p")) != 2 {
		t.Errorf("a removed container came back: %v", o.of("p"))
	}
	if pods := o.reset(nil, o.mark()); len(pods) != 1 || len(o.of("p")) != 0 {
		t.Errorf("what the runtime does not have is still there: %v, pods concerned %v", o.of("p"), pods)
	}
}

func TestObservationTellsOfOOM(t *testing.T) {
	for _, order := range [][]container.EventType{{container.EventOOM, container.EventExited}, {container.EventExited, container.EventOOM}} {
		o := newObservation()
		o.add(container.Container{ID: "a", PodUID: "p", State: container.StateRunning})
		for _, e := range order {
			o.event(container.ContainerEvent{Type: e, ID: "a", ExitCode: 137})
		}
		if c, _ := o.watch("a"); c.Reason != container.ReasonOOMKilled {
			t.Errorf("%v: reason %s", order, c.Reason)
		}
	}
}
