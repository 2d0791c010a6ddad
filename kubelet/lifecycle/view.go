package lifecycle

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/api"
)

// view is a pod and what was observed of it, sorted by container.
type view struct {
	Observed
	pod       *corev1.Pod
	now       time.Time
	init      []*unit
	apps      []*unit
	ephemeral []*unit
	rest      []container.Container // of no container in the spec

	freshUntil time.Time // when a failure stops to be shown as fresh
}

// unit is one container of the spec with its instances.
type unit struct {
	spec     *corev1.Container
	kind     container.Kind
	policy   corev1.RestartPolicy
	latest   *container.Container // nil if it was never created
	previous *container.Container // the one before latest
	older    []container.Container
	failure  *Failure
	probe    Probe
	starting bool // a Start is under way
	hooked   bool
	again    bool // it was stopped for another to follow
	message  map[string]string
}

func newView(pod *corev1.Pod, o Observed, now time.Time) *view {
	v := &view{Observed: o, pod: pod, now: now}
	byName := map[string][]container.Container{}
	for _, c := range o.Containers {
		byName[c.Name] = append(byName[c.Name], c)
	}
	add := func(spec *corev1.Container, kind container.Kind) *unit {
		u := v.unit(spec, kind, byName[spec.Name])
		delete(byName, spec.Name)
		return u
	}
	for i := range pod.Spec.InitContainers {
		v.init = append(v.init, add(&pod.Spec.InitContainers[i], container.KindInit))
	}
	for i := range pod.Spec.Containers {
		v.apps = append(v.apps, add(&pod.Spec.Containers[i], container.KindApp))
	}
	for i := range pod.Spec.EphemeralContainers {
		common := &pod.Spec.EphemeralContainers[i].EphemeralContainerCommon
		v.ephemeral = append(v.ephemeral, add((*corev1.Container)(common), container.KindEphemeral))
	}
	for _, cs := range byName {
		v.rest = append(v.rest, cs...)
	}
	slices.SortFunc(v.rest, func(a, b container.Container) int { return strings.Compare(a.ID, b.ID) })
	return v
}

func (v *view) unit(spec *corev1.Container, kind container.Kind, instances []container.Container) *unit {
	u := &unit{spec: spec, kind: kind, policy: restartPolicy(v.pod, spec, kind), message: v.Messages}
	slices.SortFunc(instances, func(a, b container.Container) int {
		if a.RestartCount != b.RestartCount {
			return b.RestartCount - a.RestartCount
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	if len(instances) > 0 {
		u.latest = &instances[0]
		u.probe = v.Probes[u.latest.ID]
		u.hooked, u.again = v.Hooked[u.latest.ID], v.Again[u.latest.ID]
	}
	if len(instances) > 1 {
		u.previous, u.older = &instances[1], instances[2:]
	}
	if f, ok := v.Failures[spec.Name]; ok {
		u.failure = &f
	}
	u.starting = v.Busy[Action{Verb: Start, Name: spec.Name}.Key()]
	return u
}

// restartPolicy returns the policy that holds for one container: its own, or the pod's;
// init containers of a pod that always restarts are repeated until they succeed.
func restartPolicy(pod *corev1.Pod, c *corev1.Container, kind container.Kind) corev1.RestartPolicy {
	if kind == container.KindEphemeral {
		return corev1.RestartPolicyNever
	}
	if c.RestartPolicy != nil {
		return corev1.RestartPolicy(*c.RestartPolicy)
	}
	policy := pod.Spec.RestartPolicy
	if policy == "" {
		policy = corev1.RestartPolicyAlways
	}
	if kind == container.KindInit && policy == corev1.RestartPolicyAlways {
		return corev1.RestartPolicyOnFailure
	}
	return policy
}

func (u *unit) sidecar() bool { return u.kind == container.KindInit && api.IsSidecar(u.spec) }
func (u *unit) alive() bool {
	return u.latest != nil && u.latest.State == container.StateRunning
}
func (u *unit) exited() bool {
	return u.latest != nil && u.latest.State == container.StateExited
}
func (u *unit) succeeded() bool { return u.exited() && u.latest.ExitCode == 0 }

// changed reports whether the running container was made from another definition.
func (u *unit) changed() bool {
	return u.latest != nil && u.latest.SpecHash != "" && u.latest.SpecHash != SpecHash(u.spec)
}

// replaced reports whether another instance is to follow without any back-off.
func (u *unit) replaced() bool { return u.again || u.changed() }

// done reports whether the container has exited and its policy wants no other.
func (u *unit) done() bool { return u.exited() && !u.restarts() }

// restarts reports whether an exited container is to be followed by another.
func (u *unit) restarts() bool {
	if !u.exited() {
		return false
	}
	if u.again || u.changed() && !(u.kind == container.KindInit && u.succeeded()) {
		return true
	}
	for _, rule := range u.spec.RestartPolicyRules {
		if rule.Action == corev1.ContainerRestartRuleActionRestart && matches(rule.ExitCodes, u.latest.ExitCode) {
			return true
		}
	}
	switch u.policy {
	case corev1.RestartPolicyAlways:
		return true
	case corev1.RestartPolicyOnFailure:
		return u.latest.ExitCode != 0
	}
	return false
}

func matches(codes *corev1.ContainerRestartRuleOnExitCodes, code int) bool {
	if codes == nil {
		return false
	}
	in := slices.Contains(codes.Values, int32(code))
	return in == (codes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}

// started reports whether the container runs, its startup probe has passed and its
// postStart hook is over.
func (u *unit) started() bool {
	if !u.alive() || u.hooked {
		return false
	}
	return u.spec.StartupProbe == nil || u.probe.Started
}

func (u *unit) ready() bool {
	if u.kind == container.KindInit && !u.sidecar() {
		return u.succeeded()
	}
	if u.kind == container.KindEphemeral {
		return false // nobody waits for it
	}
	return u.started() && (u.spec.ReadinessProbe == nil || u.probe.Ready)
}

// restartCount is that of the next instance. The API remembers it when the containers were
// removed behind our back.
func (u *unit) restartCount(reported []corev1.ContainerStatus) int {
	if u.latest != nil {
		return u.latest.RestartCount + 1
	}
	if s := statusOf(reported, u.spec.Name); s != nil {
		count, _ := successor(s)
		return int(count)
	}
	return 0
}

// initialized: all init containers have done their part, or an app container was already
// created, which means that they once had.
func (v *view) initialized() bool {
	for _, u := range v.apps {
		if u.latest != nil {
			return true
		}
	}
	for _, u := range v.init {
		if u.sidecar() {
			if !u.started() {
				return false
			}
		} else if !u.succeeded() {
			return false
		}
	}
	return true
}

// outcome returns the terminal phase the containers have led to; empty while the pod lives.
func (v *view) outcome() corev1.PodPhase {
	for _, u := range v.init {
		if !u.sidecar() && u.done() && !u.succeeded() {
			return corev1.PodFailed
		}
	}
	if len(v.apps) == 0 || !v.initialized() {
		return ""
	}
	phase := corev1.PodSucceeded
	for _, u := range v.apps {
		if !u.done() {
			return ""
		}
		if !u.succeeded() {
			phase = corev1.PodFailed
		}
	}
	return phase
}

// deadline returns when activeDeadlineSeconds ends the pod; zero if never.
func (v *view) deadline() time.Time {
	if v.pod.Spec.ActiveDeadlineSeconds == nil || v.pod.Status.StartTime == nil {
		return time.Time{}
	}
	return v.pod.Status.StartTime.Add(time.Duration(*v.pod.Spec.ActiveDeadlineSeconds) * time.Second)
}

// expired reports whether the deadline came first: a pod whose containers end because of it has not
// succeeded, whatever they say.
func (v *view) expired() bool {
	at := v.deadline()
	return !at.IsZero() && !v.now.Before(at) && (v.outcome() == "" || !v.lastEnd().Before(at))
}

// lastEnd is when the last container ended of those that make the outcome.
func (v *view) lastEnd() (last time.Time) {
	for _, u := range slices.Concat(v.init, v.apps) {
		if !u.sidecar() && u.latest != nil && u.latest.FinishedAt.After(last) {
			last = u.latest.FinishedAt
		}
	}
	return last
}

// mustStop reports whether the pod has no business running: the order of reasons does not
// matter, any is enough.
func (v *view) mustStop() bool {
	return v.Removed || v.pod.DeletionTimestamp != nil || v.Rejected != nil || v.evicted() ||
		terminal(v.pod.Status.Phase) || v.expired() || v.outcome() != ""
}

// evicted: the node has decided to end the pod, before it was restarted perhaps.
func (v *view) evicted() bool { return v.Evicted != nil || v.pod.Status.Reason == ReasonEvicted }

func terminal(p corev1.PodPhase) bool { return p == corev1.PodFailed || p == corev1.PodSucceeded }

// leaves reports whether the pod will be forgotten, not only stopped.
func (v *view) leaves() bool { return v.Removed || v.pod.DeletionTimestamp != nil }

// anyAlive: a container runs, or may be running in a moment.
func (v *view) anyAlive() bool {
	for _, c := range v.Containers {
		if c.State == container.StateRunning {
			return true
		}
	}
	for key := range v.Busy {
		if strings.HasPrefix(key, string(Start)) || strings.HasPrefix(key, string(Stop)) {
			return true
		}
	}
	return v.Busy[string(Prepare)]
}

func (v *view) holds() bool {
	if v.Held || v.Busy[string(Teardown)] {
		return true
	}
	if v.leaves() {
		return len(v.Containers) > 0
	}
	return false
}
