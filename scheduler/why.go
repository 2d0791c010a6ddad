package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/explain"
	"github.com/miniorch/miniorch/scheduler/framework"
)

var errNoPod = errors.New("there is no such pod")

// Why explains a pod. changes are asked for what would be if they were made; fix asks for the
// smallest changes that would help.
func (s *Scheduler) Why(namespace, name string, changes []Change, fix bool) (*explain.Answer, error) {
	pod, ok := s.pods.Get(namespace, name)
	if !ok {
		return nil, errNoPod
	}
	d, a, err := s.lastDecision(pod)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return a, nil
	}
	a.Table = tableOf(d)
	if len(changes) > 0 {
		world, err := imagine(d, changes)
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			a.Changes = append(a.Changes, c.String())
		}
		a.IfChanged = tableOf(world.decide(d))
	}
	if fix && a.Table.Node == "" {
		a.Fixes = fixes(d, a.Table)
	}
	return a, nil
}

// lastDecision returns the last decision for a pod. If none is remembered it makes one from
// how things are, which has no effect.
func (s *Scheduler) lastDecision(pod *corev1.Pod) (*Decision, *explain.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fw := s.profiles.of(pod)
	if fw == nil {
		return nil, nil, fmt.Errorf("it asks for scheduler %q, which is not this one", pod.Spec.SchedulerName)
	}
	a := &explain.Answer{State: s.stateOf(pod)}
	if all := s.kept.byUID[pod.UID]; len(all) > 0 {
		for _, d := range all {
			a.Attempts = append(a.Attempts, explain.Attempt{Time: d.at, Result: d.result()})
		}
		return all[len(all)-1], a, nil
	}
	if w := s.queue.all[pod.UID]; w != nil && w.place == inGated {
		return nil, a, nil
	}
	d := &Decision{Pod: framework.NewPodInfo(pod), fw: fw, nodes: s.cache.snapshot(), at: s.cfg.Clock.Now()}
	if p := s.cache.pods[pod.UID]; p != nil {
		a.State += " No attempt is remembered; this is what the nodes look like now, without the pod."
		if at := d.nodes.Position(p.node); at >= 0 {
			d.nodes = d.nodes.With(at, d.nodes.At(at).WithoutPod(p.info))
		}
	}
	world := imagined{d.nodes, pod}
	return world.decide(d), a, nil
}

// stateOf says where a pod stands.
func (s *Scheduler) stateOf(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return fmt.Sprintf("It runs on node %s.", pod.Spec.NodeName)
	}
	if p := s.cache.pods[pod.UID]; p != nil {
		if names := s.profiles.of(pod).Awaits(pod.UID); len(names) > 0 {
			return fmt.Sprintf("Node %s is held for it; it waits for %s.", p.node, strings.Join(names, ", "))
		}
		return fmt.Sprintf("Node %s was found; it is being bound.", p.node)
	}
	w := s.queue.all[pod.UID]
	if w == nil {
		return "It does not wait for a node."
	}
	at := s.cache.nominated[pod.UID].node
	switch {
	case w.place == inGated:
		return "It is held back: " + w.gate.Error().Error()
	case at != "":
		return fmt.Sprintf("It waits for room that is being made on node %s.", at)
	case w.place == inBackoff:
		return fmt.Sprintf("It is tried again at %s, after %s.", w.ready.UTC().Format(time.RFC3339), attempts(w.Attempts))
	case w.place == inParked:
		return fmt.Sprintf("It fits nowhere, and waits for something to change, after %s.", attempts(w.Attempts))
	}
	return "It is about to be tried."
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprint(n, " attempts")
}

// imagine makes changes in what a decision was made from.
func imagine(d *Decision, changes []Change) (*imagined, error) {
	world := &imagined{nodes: d.nodes, pod: d.Pod.Pod.DeepCopy()}
	for _, c := range changes {
		if err := c.apply(world); err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
	}
	return world, nil
}

// decide decides as d was decided, in an imagined world. Equally good nodes are taken in the
// order of their names.
func (w *imagined) decide(d *Decision) *Decision {
	pod := framework.NewPodInfo(w.pod)
	made := newMind().weighAs(d, pod, w.nodes).decide(pod, func() float64 { return 0 })
	made.at, made.opinion = d.at, d.opinion
	return made
}

// weighAs asks all plugins about a pod as it was done for a decision. Extenders are not asked again:
// what they said of a node counts.
func (m *mind) weighAs(d *Decision, pod *framework.PodInfo, nodes framework.Snapshot) *candidates {
	c := m.weigh(d.fw, pod, "", nodes)
	if d.opinion != nil {
		c.spread()
		c.heed(*d.opinion)
	}
	return c
}

// ServeHTTP answers why a pod is where it is: the path values namespace and name say which;
// ?if= asks for changes, and ?fix=true for the smallest that would help.
func (s *Scheduler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	query := r.URL.Query()
	var changes []Change
	for _, text := range query["if"] {
		c, err := ParseChange(text, namespace)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		changes = append(changes, c)
	}
	a, err := s.Why(namespace, name, changes, query.Get("fix") == "true")
	switch {
	case errors.Is(err, errNoPod):
		http.Error(w, fmt.Sprintf("pods %q not found", name), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a) // the client is gone
	}
}
