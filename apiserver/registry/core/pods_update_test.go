package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidatePodUpdate(t *testing.T) {
	const base = "activeDeadlineSeconds: 100, tolerations: [{key: a, operator: Exists, effect: NoExecute}], nodeSelector: {a: b}"
	for _, c := range []struct {
		name, spec, reason string
		change             func(*corev1.PodSpec)
		want               []string
	}{
		{"nothing", base, "an update may change nothing", func(*corev1.PodSpec) {}, nil},
		{"image", base, "the node pulls the new one", func(s *corev1.PodSpec) { s.Containers[0].Image = "b:2" }, nil},
		{"command", base, "a running container keeps its command",
			func(s *corev1.PodSpec) { s.Containers[0].Command = []string{"x"} }, []string{"spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"}},
		{"containers", base, "none comes or goes", func(s *corev1.PodSpec) { s.Containers = append(s.Containers, corev1.Container{Name: "b"}) },
			[]string{"spec.containers: Forbidden: pod updates may not add or remove containers"}},
		{"nearer deadline", base, "less time is possible", func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](50) }, nil},
		{"farther deadline", base, "more is not", func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](200) },
			[]string{"spec.activeDeadlineSeconds: Invalid value: 200: must be less than or equal to previous value"}},
		{"no deadline", base, "nor is taking it away", func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = nil },
			[]string{"must not update from a positive integer to nil value"}},
		{"first deadline", "", "it may be set once", func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = ptr.To[int64](5) }, nil},
		{"more tolerations", base, "tolerance may grow", func(s *corev1.PodSpec) {
			s.Tolerations = append(s.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists})
		}, nil},
		{"toleration time", base, "and have an end", func(s *corev1.PodSpec) { s.Tolerations[0].TolerationSeconds = ptr.To[int64](5) }, nil},
		{"fewer tolerations", base, "but not shrink", func(s *corev1.PodSpec) { s.Tolerations = nil },
			[]string{"spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"}},
		{"node", base, "only a binding names the node", func(s *corev1.PodSpec) { s.NodeName = "n" }, []string{"spec: Forbidden"}},
		{"grace", base, "the time to end is fixed", func(s *corev1.PodSpec) { s.TerminationGracePeriodSeconds = ptr.To[int64](1) }, []string{"spec: Forbidden"}},
		{"gate off", "schedulingGates: [{name: a/b}]", "gates open", func(s *corev1.PodSpec) { s.SchedulingGates = nil }, nil},
		{"gate on", "", "and do not close", func(s *corev1.PodSpec) { s.SchedulingGates = []corev1.PodSchedulingGate{{Name: "a/b"}} },
			[]string{"spec.schedulingGates[0]: Forbidden: only deletion is allowed, but found new scheduling gate 'a/b'"}},
		{"gated selector", "schedulingGates: [{name: a/b}]", "a gated pod may get choosier", func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"c": "d"} }, nil},
		{"gated selector less", "schedulingGates: [{name: a/b}], nodeSelector: {a: b}", "not less choosy", func(s *corev1.PodSpec) { s.NodeSelector = nil },
			[]string{"spec.nodeSelector: Invalid value"}},
		{"gated affinity", "schedulingGates: [{name: a/b}]", "as the selector", func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
		}, nil},
		{"ungated selector", "", "its node is or will be chosen", func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"c": "d"} }, []string{"spec: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			old := podWith(t, c.spec, "")
			p := old.DeepCopy()
			c.change(&p.Spec)
			before := p.DeepCopy()
			kindtest.WantErrors(t, validatePodUpdate(p, old), c.want...)
			if !metaEqual(before, p) {
				t.Error("validation changed the pod")
			}
		})
	}
}

func metaEqual(a, b *corev1.Pod) bool {
	x, _ := a.Marshal()
	y, _ := b.Marshal()
	return string(x) == string(y)
}

func TestPodStrategy(t *testing.T) {
	p := podWith(t, "schedulingGates: [{name: a/b}]", "resources: {limits: {cpu: 1, memory: 1Gi}}")
	p.Status.Phase = corev1.PodRunning
	preparePodCreate(p)
	if p.Generation != 1 || p.Status.Phase != corev1.PodPending || p.Status.QOSClass != corev1.PodQOSGuaranteed {
		t.Errorf("a new pod is at generation %d, %s, %s", p.Generation, p.Status.Phase, p.Status.QOSClass)
	}
	if got := p.Status.Conditions; len(got) != 1 || got[0].Reason != corev1.PodReasonSchedulingGated {
		t.Errorf("a gated pod has conditions %v", got)
	}
	next := p.DeepCopy()
	next.Status = corev1.PodStatus{}
	next.Labels = map[string]string{"a": "b"}
	preparePodUpdate(next, p)
	if next.Generation != 1 || next.Status.Phase != corev1.PodPending {
		t.Errorf("a change of labels made generation %d, phase %q", next.Generation, next.Status.Phase)
	}
	next.Spec.Containers[0].Image = "b:2"
	preparePodUpdate(next, p)
	if next.Generation != 2 {
		t.Errorf("a change of the spec made generation %d", next.Generation)
	}
	status := p.DeepCopy()
	status.Spec.NodeName = "elsewhere"
	status.Status.Phase = corev1.PodRunning
	preparePodStatus(status, p)
	if status.Spec.NodeName != "" || status.Status.Phase != corev1.PodRunning {
		t.Errorf("a status update gave node %q, phase %s", status.Spec.NodeName, status.Status.Phase)
	}
}

func TestPodGracePeriod(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		pod          corev1.Pod
		asked        *int64
		want         int64
	}{
		{"unscheduled", "no node has to stop it", corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: ptr.To[int64](10)}}, nil, 0},
		{"its own", "the spec's default", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: ptr.To[int64](10)}}, nil, 10},
		{"asked", "the caller knows better", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: ptr.To[int64](10)}}, ptr.To[int64](3), 3},
		{"less than none", "as short as can be asked for in a spec", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: ptr.To[int64](-1)}}, nil, 1},
		{"asked for none", "by force", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}}, ptr.To[int64](0), 0},
		{"ended", "nothing is left to stop", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, ptr.To[int64](3), 0},
		{"mirror", "its file is what counts", corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}},
			Spec: corev1.PodSpec{NodeName: "n"}}, nil, 0},
		{"old", "a spec without one", corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}}, nil, 30},
	} {
		if got := podGracePeriod(&c.pod, c.asked); got != c.want {
			t.Errorf("%s (%s): %d seconds, want %d", c.name, c.reason, got, c.want)
		}
	}
}

func TestValidatePodStatus(t *testing.T) {
	ended := func(code int32) corev1.PodStatus {
		return corev1.PodStatus{QOSClass: corev1.PodQOSBurstable, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}}}
	}
	running := corev1.PodStatus{QOSClass: corev1.PodQOSBurstable, ContainerStatuses: []corev1.ContainerStatus{
		{Name: "a", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	for _, c := range []struct {
		name, policy string
		was, is      corev1.PodStatus
		want         []string
	}{
		{"never restarts", "Never", ended(1), running, []string{"status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"}},
		{"restarts on failure", "OnFailure", ended(1), running, nil},
		{"does not after success", "OnFailure", ended(0), running, []string{"may not be transitioned"}},
		{"always restarts", "Always", ended(0), running, nil},
		{"quality is fixed", "Always", ended(0), corev1.PodStatus{QOSClass: corev1.PodQOSBestEffort}, []string{"status.qosClass: Invalid value: \"BestEffort\": field is immutable"}},
		{"addresses", "Always", ended(0), corev1.PodStatus{QOSClass: corev1.PodQOSBurstable, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "x"}}},
			[]string{"status.podIPs[0]: Invalid value", "status.podIPs[0].ip: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := podWith(t, "restartPolicy: "+c.policy, "")
			p := old.DeepCopy()
			old.Status, p.Status = c.was, c.is
			kindtest.WantErrors(t, validatePodStatusUpdate(p, old), c.want...)
		})
	}
}
