// Package podgroups schedules groups of pods all or none: the members of a group hold their
// nodes without being bound until so many of them have one as the group needs, and all let go if
// one of those finds none.
//
// A pod says that it is in a group by the label miniorch.dev/pod-group, and how many of it are
// needed by the annotation miniorch.dev/pod-group-min. How long the first may wait for the last is
// the annotation miniorch.dev/pod-group-timeout, by default 60s.
package podgroups

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// What pods say about their group.
const (
	LabelGroup        = framework.LabelGroup
	AnnotationMin     = "miniorch.dev/pod-group-min"
	AnnotationTimeout = "miniorch.dev/pod-group-timeout"
)

const (
	name = "PodGroups"
	// Event is the kind of events that this plugin reports: a member of a group came.
	event          = "PodGroup"
	byGroup        = "scheduler/pod-group"
	defaultTimeout = time.Minute
)

// Plugin is PodGroups.
type Plugin struct {
	pods   *client.Informer[*corev1.Pod]
	handle framework.Handle

	mu       sync.Mutex // guards what follows
	reserved map[string]map[types.UID]bool
}

// New returns the plugin. It counts the members of groups through informers.
func New(informers *client.Informers) *Plugin {
	p := &Plugin{pods: client.InformerFor[*corev1.Pod](informers), reserved: make(map[string]map[types.UID]bool)}
	p.pods.Index(byGroup, func(pod *corev1.Pod) []string {
		if g := framework.GroupOf(pod); g != "" {
			return []string{g}
		}
		return nil
	})
	return p
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return name }

// Handle takes what the plugin lets pods go with.
func (p *Plugin) Handle(h framework.Handle) { p.handle = h }

// needs returns how many members a pod's group needs, and how long the first waits for the last.
func needs(pod *corev1.Pod) (least int, timeout time.Duration, err error) {
	least, timeout = 1, defaultTimeout
	if text, ok := pod.Annotations[AnnotationMin]; ok {
		if least, err = strconv.Atoi(text); err != nil || least < 1 {
			return 0, 0, fmt.Errorf("annotation %s: %q is no number of pods", AnnotationMin, text)
		}
	}
	if text, ok := pod.Annotations[AnnotationTimeout]; ok {
		if timeout, err = time.ParseDuration(text); err != nil || timeout <= 0 {
			return 0, 0, fmt.Errorf("annotation %s: %q is no time to wait", AnnotationTimeout, text)
		}
	}
	return least, timeout, nil
}

// PreEnqueue holds a pod back until its group has as many members as it needs.
func (p *Plugin) PreEnqueue(pod *framework.PodInfo) *framework.Status {
	if pod.Group == "" {
		return nil
	}
	least, _, err := needs(pod.Pod)
	if err != nil {
		return framework.RefuseForGood(err.Error())
	}
	if there := p.members(pod, func(*corev1.Pod) bool { return true }); there < least {
		return framework.Refuse(fmt.Sprintf("pod group %s has %d of %d pods", pod.Group, there, least))
	}
	return nil
}

// members counts the pods of a group that live and of which counts is true.
func (p *Plugin) members(pod *framework.PodInfo, counts func(*corev1.Pod) bool) (n int) {
	for _, m := range p.pods.ByIndex(byGroup, pod.Group) {
		if m.DeletionTimestamp == nil && m.Status.Phase != corev1.PodFailed && counts(m) {
			n++
		}
	}
	return n
}

// Events reports members of groups as they come.
func (p *Plugin) Events(report func(framework.Event)) {
	p.pods.Handle(func(old, pod *corev1.Pod) {
		if old == nil && framework.GroupOf(pod) != "" {
			report(framework.Event{Kind: event, New: pod})
		}
	})
}

// Helps reports whether the event is about a member of the pod's group.
func (p *Plugin) Helps(pod *framework.PodInfo, e framework.Event) bool {
	m, ok := e.New.(*corev1.Pod)
	return e.Kind == event && ok && framework.GroupOf(m) == pod.Group
}

// Reserve takes note that a member has a node.
func (p *Plugin) Reserve(_ context.Context, _ *framework.CycleState, pod *framework.PodInfo, _ string) *framework.Status {
	if pod.Group == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reserved[pod.Group] == nil {
		p.reserved[pod.Group] = make(map[types.UID]bool)
	}
	p.reserved[pod.Group][pod.Pod.UID] = true
	return nil
}

// Unreserve takes note that a member has lost its node: those that wait for it let go as well.
func (p *Plugin) Unreserve(_ context.Context, _ *framework.CycleState, pod *framework.PodInfo, _ string) {
	if pod.Group == "" {
		return
	}
	p.release(pod.Group, pod.Pod.UID)
	p.letGo(pod, "has lost its node")
}

func (p *Plugin) release(group string, uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.reserved[group], uid); len(p.reserved[group]) == 0 {
		delete(p.reserved, group)
	}
}

// waiting returns the members that have a node and, maybe, wait for the others.
func (p *Plugin) waiting(group string) (uids []types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for uid := range p.reserved[group] {
		uids = append(uids, uid)
	}
	return uids
}

// letGo refuses all members that wait, because of what happened to one. Who has been allowed already
// is bound.
func (p *Plugin) letGo(pod *framework.PodInfo, what string) {
	waiting := p.waiting(pod.Group)
	least, _, _ := needs(pod.Pod)
	for _, uid := range waiting {
		p.handle.Reject(uid, name, fmt.Sprintf("pod group %s: %s %s; %d of %d needed waited with a node", pod.Group, pod.Name(), what, len(waiting), least))
	}
}

// Permit lets the members go when there are enough with a node.
func (p *Plugin) Permit(_ context.Context, _ *framework.CycleState, pod *framework.PodInfo, _ string) (*framework.Status, time.Duration) {
	if pod.Group == "" {
		return nil, 0
	}
	least, timeout, err := needs(pod.Pod)
	if err != nil {
		return framework.RefuseForGood(err.Error()), 0
	}
	ready := p.waiting(pod.Group)
	has := make(map[types.UID]bool, len(ready))
	for _, uid := range ready {
		has[uid] = true
	}
	bound := p.members(pod, func(m *corev1.Pod) bool { return m.Spec.NodeName != "" && !has[m.UID] })
	if bound+len(ready) < least {
		return &framework.Status{Code: framework.Wait}, timeout
	}
	for _, uid := range ready {
		p.handle.Allow(uid, name)
	}
	return nil, 0
}

// PostBind forgets a member that is bound: the API knows it now.
func (p *Plugin) PostBind(pod *framework.PodInfo) {
	if pod.Group != "" {
		p.release(pod.Group, pod.Pod.UID)
	}
}

// PostFilter lets the whole group go when one of those it needs fits nowhere, so that what they
// hold is of use to others.
func (p *Plugin) PostFilter(a *framework.Attempt) (*framework.Nomination, *framework.Status) {
	if a.Pod.Group != "" {
		p.letGo(a.Pod, "fits nowhere")
	}
	return nil, framework.Skipped
}
