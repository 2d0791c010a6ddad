package lifecycle

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/kubelet/container"
)

// minimumGrace is what a container is given between its signal and SIGKILL however little
// is left of the pod's grace period.
const minimumGrace = 2 * time.Second

// SpecHash changes when a running container has to be replaced. Only the image of a
// container can change during a pod's life.
func SpecHash(c *corev1.Container) string {
	h := fnv.New64a()
	h.Write([]byte(c.Image))
	return hex.EncodeToString(h.Sum(nil))
}

func (v *view) do(p *Plan, a Action) {
	if !v.Busy[a.Key()] {
		p.Actions = append(p.Actions, a)
	}
}

func prepare(v *view, p *Plan) {
	if f := v.Sandbox.Failure; f != nil {
		if at := f.retryAt(); v.now.Before(at) {
			p.wakeAt(at)
			return
		}
	}
	v.do(p, Action{Verb: Prepare})
}

func initialize(v *view, p *Plan) {
	v.tendEphemeral(p)
	for _, u := range v.init {
		v.tend(u, p)
		if u.sidecar() && u.started() || !u.sidecar() && u.succeeded() {
			continue
		}
		return // the next one waits for this one
	}
}

func run(v *view, p *Plan) {
	v.resize(p)
	v.tendEphemeral(p)
	for _, u := range v.init {
		if u.sidecar() {
			v.tend(u, p)
		} else {
			v.prune(u, p)
		}
	}
	for i, u := range v.apps {
		if !v.heldBack(i) {
			v.tend(u, p)
		}
	}
}

// tendEphemeral starts each ephemeral container once. It may look into a pod that is still
// initializing, and one that was removed behind our back has had its time.
func (v *view) tendEphemeral(p *Plan) {
	for _, u := range v.ephemeral {
		if !u.outlivedBy(statusOf(v.reported(u.kind), u.spec.Name)) {
			v.tend(u, p)
		}
	}
}

// heldBack: a container waits for the postStart hooks of those listed before it.
func (v *view) heldBack(i int) bool {
	if v.apps[i].latest != nil {
		return false
	}
	for _, before := range v.apps[:i] {
		hook := before.spec.Lifecycle != nil && before.spec.Lifecycle.PostStart != nil
		if hook && (before.hooked || before.latest == nil && before.failure == nil) {
			return true
		}
	}
	return false
}

// tend keeps one container running as its policy says.
func (v *view) tend(u *unit, p *Plan) {
	switch {
	case u.starting:
	case u.alive():
		v.tendRunning(u, p)
	case u.latest != nil && u.latest.State == container.StateCreated:
		// The agent died between create and start; the process never was.
		v.do(p, Action{Verb: Remove, Name: u.spec.Name, ID: u.latest.ID})
	case u.exited() && !u.restarts():
	default:
		v.start(u, p)
	}
	v.prune(u, p)
}

func (v *view) tendRunning(u *unit, p *Plan) {
	stop := Action{Verb: Stop, Name: u.spec.Name, ID: u.latest.ID, Hook: true, Grace: v.grace()}
	switch {
	case u.probe.Failed != "":
		if u.probe.Grace != nil {
			stop.Grace = time.Duration(*u.probe.Grace) * time.Second
		}
		stop.Why = u.probe.Failed
	case u.changed() && (u.kind == container.KindApp || u.sidecar()):
		stop.Why = fmt.Sprintf("Container %s definition changed", u.spec.Name)
	case u.outsized() && v.Refusal == nil && u.restartToResize():
		stop.Why, stop.Again = fmt.Sprintf("Container %s resize requires restart", u.spec.Name), true
	default:
		return
	}
	v.do(p, stop)
}

func (v *view) start(u *unit, p *Plan) {
	at := time.Time{}
	if u.exited() && !u.replaced() {
		at = restartAt(u.latest)
	}
	if u.failure != nil {
		if retry := u.failure.retryAt(); retry.After(at) {
			at = retry
		}
	}
	if v.now.Before(at) {
		p.wakeAt(at)
		return
	}
	a := Action{Verb: Start, Name: u.spec.Name, Kind: u.kind, RestartCount: u.restartCount(v.reported(u.kind))}
	if u.exited() && !u.replaced() {
		a.BackOff = backOffStep(u.latest) + 1
	}
	if v.Refusal != nil {
		a.Size = u.size()
	}
	v.do(p, a)
}

// prune removes what is older than the previous instance, whose log can still be asked for.
func (v *view) prune(u *unit, p *Plan) {
	for _, c := range u.older {
		if c.State != container.StateRunning {
			v.do(p, Action{Verb: Remove, Name: c.Name, ID: c.ID})
		}
	}
}

func (v *view) reported(kind container.Kind) []corev1.ContainerStatus {
	switch kind {
	case container.KindInit:
		return v.pod.Status.InitContainerStatuses
	case container.KindEphemeral:
		return v.pod.Status.EphemeralContainerStatuses
	}
	return v.pod.Status.ContainerStatuses
}

// stopAll stops app containers and ordinary init containers at once, then the sidecars one
// after the other, last first. All share the pod's grace period.
func stopAll(v *view, p *Plan) {
	waiting := v.cancelStarts(p)
	for _, u := range slices.Concat(v.apps, v.ephemeral, v.init) {
		if !u.sidecar() {
			waiting = v.stop(u.latest, v.grace(), p) || waiting
		}
	}
	for i := range v.rest {
		waiting = v.stop(&v.rest[i], v.grace(), p) || waiting
	}
	left := v.grace()
	if at := v.pod.DeletionTimestamp; at != nil {
		left = min(left, max(at.Sub(v.now), minimumGrace))
	}
	for i := len(v.init) - 1; i >= 0 && !waiting; i-- {
		if v.init[i].sidecar() {
			waiting = v.stop(v.init[i].latest, left, p)
		}
	}
}

// cancelStarts ends what would make new containers, and reports whether any such operation
// is under way: a start may be inside a long pull.
func (v *view) cancelStarts(p *Plan) (waiting bool) {
	for _, key := range slices.Sorted(maps.Keys(v.Busy)) {
		if !strings.HasPrefix(key, string(Start)) && !strings.HasPrefix(key, string(Prepare)) {
			continue
		}
		waiting = true
		if !v.Cancelled[key] {
			p.Actions = append(p.Actions, Action{Verb: Cancel, Name: key})
		}
	}
	return waiting
}

// stop asks for c to end within grace; a running stop is only replaced by one that is
// clearly quicker. It reports whether c still runs.
func (v *view) stop(c *container.Container, grace time.Duration, p *Plan) bool {
	if c == nil || c.State != container.StateRunning {
		return false
	}
	a := Action{Verb: Stop, Name: c.Name, ID: c.ID, Hook: true, Grace: grace}
	if until, stopping := v.Deadlines[c.ID]; stopping {
		if until.Sub(v.now) > grace+time.Second {
			p.Actions = append(p.Actions, a)
		}
		return true
	}
	v.do(p, a)
	return true
}

// grace is the time the pod's containers are given to end.
func (v *view) grace() time.Duration {
	switch {
	case v.pod.DeletionTimestamp != nil && v.pod.DeletionGracePeriodSeconds != nil:
		return max(time.Second, time.Duration(*v.pod.DeletionGracePeriodSeconds)*time.Second)
	case v.Removed:
		return time.Second // forced: nobody waits for it any more
	case v.evicted():
		return time.Second // it takes what others need
	case v.pod.Spec.TerminationGracePeriodSeconds != nil:
		return max(time.Second, time.Duration(*v.pod.Spec.TerminationGracePeriodSeconds)*time.Second)
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

func clean(v *view, p *Plan) {
	if v.leaves() {
		for _, c := range v.Containers {
			v.do(p, Action{Verb: Remove, Name: c.Name, ID: c.ID})
		}
		if len(v.Containers) > 0 && !v.pastStatus() {
			p.Actions = nil // their exit is reported before they go
			return
		}
	}
	if v.Held && len(p.Actions) == 0 && !v.anyBusy(Remove) {
		v.do(p, Action{Verb: Teardown})
	}
}

// pastStatus: the API has the final status, or does not want any.
func (v *view) pastStatus() bool { return v.Removed || v.Reported }

func (v *view) anyBusy(verb Verb) bool {
	for key := range v.Busy {
		if strings.HasPrefix(key, string(verb)) {
			return true
		}
	}
	return false
}

// deleteWhenReported ends the graceful deletion. A pod that others hold by finalizers goes
// when they let it: it need not be asked for again, which would change nothing and never end.
func deleteWhenReported(v *view, p *Plan) {
	grace := v.pod.DeletionGracePeriodSeconds
	if held := len(v.pod.Finalizers) > 0 && grace != nil && *grace == 0; v.Reported && !held {
		v.do(p, Action{Verb: Delete})
	}
}

// Labels returns the labels by which a container made by a Start remembers its past.
func (a Action) Labels(pod *corev1.Pod) map[string]string {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	return map[string]string{LabelBackOff: strconv.Itoa(a.BackOff), LabelGrace: strconv.FormatInt(grace, 10)}
}
