package podtopologyspread

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Hinter = Plugin{}

const full, lost = "node(s) didn't match pod topology spread constraints", "node(s) didn't match pod topology spread constraints (missing required label)"

func web(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := sample.Pod(name)
	p.Labels = map[string]string{"app": "web", "version": name[:1]}
	for _, f := range change {
		f(p)
	}
	return p
}

// spreading gives a pod a hard constraint, with what else it should say.
func spreading(key string, skew int32, change ...func(*corev1.TopologySpreadConstraint)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.TopologySpreadConstraint{
			TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		}
		for _, f := range change {
			f(&c)
		}
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
	}
}

func soft(c *corev1.TopologySpreadConstraint) { c.WhenUnsatisfiable = corev1.ScheduleAnyway }

func minDomains(n int32) func(*corev1.TopologySpreadConstraint) {
	return func(c *corev1.TopologySpreadConstraint) { c.MinDomains = &n }
}

func policy(affinity, taints corev1.NodeInclusionPolicy) func(*corev1.TopologySpreadConstraint) {
	return func(c *corev1.TopologySpreadConstraint) {
		c.NodeAffinityPolicy, c.NodeTaintsPolicy = &affinity, &taints
	}
}

// nodes makes "a1:2 a2:0 b1:1": nodes with so many pods of app web, in the zone of their first
// letter; "-" is no zone, "x" a zone whose nodes are tainted.
func nodes(spec string, more ...*corev1.Pod) *framework.Topology {
	var all []*framework.NodeInfo
	for _, one := range strings.Fields(spec) {
		name, count, _ := strings.Cut(one, ":")
		n := sample.Node(name)
		if zone := name[:1]; zone != "-" {
			n.Labels["zone"] = zone
		}
		if name[:1] == "x" {
			n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
		}
		info := sample.Info(n)
		for range int(count[0] - '0') {
			info = info.WithPod(framework.NewPodInfo(web("1")))
		}
		for _, p := range more {
			info = info.WithPod(framework.NewPodInfo(p))
		}
		all = append(all, info)
	}
	return sample.Topology(nil, all...)
}

func TestFilter(t *testing.T) {
	honor, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	inB := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "b"} }
	tests := []struct {
		name, reason, nodes string
		pod                 *corev1.Pod
		want                []string
	}{
		{"plain", "no constraint", "a1:3 b1:0", web("p"), []string{"", ""}},
		{"zones", "the emptier zone", "a1:1 a2:0 b1:0", web("p", spreading("zone", 1)), []string{full, full, ""}},
		{"skew", "two more are allowed", "a1:1 a2:0 b1:0", web("p", spreading("zone", 2)), []string{"", "", ""}},
		{"even", "all are equally full", "a1:1 b1:1", web("p", spreading("zone", 1)), []string{"", ""}},
		{"hosts", "each node for itself", "a1:1 a2:0 b1:1", web("p", spreading(corev1.LabelHostname, 1)), []string{full, "", full}},
		{"both", "zone and host", "a1:1 a2:0 b1:1", web("p", spreading("zone", 1), spreading(corev1.LabelHostname, 1)), []string{full, "", full}},
		{"no label", "nodes without it are no domain", "-1:0 a1:5 b1:5", web("p", spreading("zone", 1)), []string{lost, "", ""}},
		{"not counted itself", "its labels do not match its selector", "a1:1 b1:0",
			web("p", spreading("zone", 1), func(p *corev1.Pod) { p.Labels = nil }), []string{"", ""}},
		{"too few domains", "then the emptiest counts as empty", "a1:1 b1:1", web("p", spreading("zone", 1, minDomains(3))), []string{full, full}},
		{"enough domains", "as without", "a1:1 b1:1", web("p", spreading("zone", 1, minDomains(2))), []string{"", ""}},
		{"node affinity", "zones that the pod does not want do not count", "a1:0 b1:4", web("p", spreading("zone", 1), inB), []string{"", ""}},
		{"node affinity ignored", "as the constraint says", "a1:0 b1:4", web("p", spreading("zone", 1, policy(ignore, ignore)), inB), []string{"", full}},
		{"taints", "count, unless the constraint says otherwise", "a1:1 x1:0", web("p", spreading("zone", 1)), []string{full, ""}},
		{"taints honored", "the tainted zone does not count", "a1:1 x1:0", web("p", spreading("zone", 1, policy(honor, honor))), []string{"", ""}},
		{"matchLabelKeys", "only pods of the same version count", "a1:3 b1:0",
			web("p", spreading("zone", 1, func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"version"} })), []string{"", ""}},
		{"soft", "is no demand", "a1:5 b1:0", web("p", spreading("zone", 1, soft)), []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.FitsWide(New(SystemDefaults(), nil), nodes(tt.nodes), tt.pod)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestWhoCounts(t *testing.T) {
	now := metav1.Now()
	leaving := web("l", func(p *corev1.Pod) { p.DeletionTimestamp = &now })
	elsewhere := web("e", func(p *corev1.Pod) { p.Namespace = "other" })
	other := web("o", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "db"} })
	got := sample.FitsWide(New(SystemDefaults(), nil), nodes("a1:0", leaving, elsewhere, other), web("p", spreading("zone", 1, minDomains(2))))
	if diff := cmp.Diff([]string{""}, got); diff != "" {
		t.Errorf("pods that leave, of other namespaces or of other kinds count: %s", diff)
	}
}

func TestRank(t *testing.T) {
	tests := []struct {
		name, reason, nodes string
		pod                 *corev1.Pod
		want                []int64
	}{
		{"no constraint", "nothing to say", "a1:1 b1:0", web("p"), nil},
		{"zones", "the emptier the better", "a1:2 a2:0 b1:1", web("p", spreading("zone", 1, soft)), []int64{33, 33, 100}},
		{"even", "all equally good", "a1:1 b1:1", web("p", spreading("zone", 1, soft)), []int64{100, 100}},
		{"empty", "all equally good", "a1:0 b1:0", web("p", spreading("zone", 1, soft)), []int64{100, 100}},
		{"no label", "the worst there is", "-1:0 a1:3 b1:3", web("p", spreading("zone", 1, soft)), []int64{0, 100, 100}},
		{"hosts", "each for itself", "a1:0 a2:1", web("p", spreading(corev1.LabelHostname, 1, soft)), []int64{100, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.RankWide(New(SystemDefaults(), nil), nodes(tt.nodes), tt.pod)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// allWeb takes all pods for kin that have the label app=web.
type allWeb struct{}

func (allWeb) Selector(pod *corev1.Pod) labels.Selector {
	if pod.Labels["app"] != "web" {
		return nil
	}
	return labels.SelectorFromSet(labels.Set{"app": "web"})
}

func TestDefaults(t *testing.T) {
	list := Args{Defaults: []corev1.TopologySpreadConstraint{{TopologyKey: "zone", MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule}}}
	if got := sample.RankWide(New(SystemDefaults(), allWeb{}), nodes("a1:2 a2:0"), web("p")); len(got) != 2 || got[0] >= got[1] {
		t.Errorf("pods of one kind are not spread over nodes by default: %v", got)
	}
	if got := sample.RankWide(New(SystemDefaults(), allWeb{}), nodes("a1:2 a2:0"), sample.Pod("p")); got != nil {
		t.Errorf("a pod that belongs to nothing is spread: %v", got)
	}
	if diff := cmp.Diff([]string{full, ""}, sample.FitsWide(New(list, allWeb{}), nodes("a1:1 b1:0"), web("p"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", ""}, sample.FitsWide(New(list, allWeb{}), nodes("a1:1 b1:0"), web("p", spreading("zone", 5)))); diff != "" {
		t.Errorf("a pod with constraints of its own gets the default ones: %s", diff)
	}
}

func TestHelps(t *testing.T) {
	p := New(SystemDefaults(), nil)
	pod := framework.NewPodInfo(web("p", spreading("zone", 1)))
	event := func(old, now *corev1.Pod) framework.Event {
		e := framework.Event{Kind: framework.PodEvent}
		if old != nil {
			e.OldPod = framework.NewPodInfo(old)
		}
		if now != nil {
			e.NewPod = framework.NewPodInfo(now)
		}
		return e
	}
	for _, tt := range []struct {
		name string
		e    framework.Event
		want bool
	}{
		{"one of its kind goes", event(web("q"), nil), true},
		{"one of its kind comes elsewhere", event(nil, web("q")), true},
		{"a stranger goes", event(sample.Pod("q"), nil), false},
		{"a node changes", framework.Event{Kind: framework.NodeEvent}, true},
	} {
		if got := p.Helps(pod, tt.e); got != tt.want {
			t.Errorf("%s: helps %t", tt.name, got)
		}
	}
}
