package interpodaffinity

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var _ framework.Hinter = Plugin{}

const (
	near  = "node(s) didn't match pod affinity rules"
	far   = "node(s) didn't match pod anti-affinity rules"
	farOf = "node(s) didn't satisfy existing pods anti-affinity rules"
)

// named returns a pod with labels app and version.
func named(name, app string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := sample.Pod(name)
	p.Labels = map[string]string{"app": app, "version": name}
	for _, f := range change {
		f(p)
	}
	return p
}

func affinity(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, PodAntiAffinity: &corev1.PodAntiAffinity{}}
	}
	return p.Spec.Affinity
}

func to(app, key string, change ...func(*corev1.PodAffinityTerm)) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}
	for _, f := range change {
		f(&t)
	}
	return t
}

func wantsNear(terms ...corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) { affinity(p).PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = terms }
}

func wantsFar(terms ...corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = terms
	}
}

func likesNear(weight int32, t corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: weight, PodAffinityTerm: t}}
	}
}

func likesFar(weight int32, t corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: weight, PodAffinityTerm: t}}
	}
}

func in(ns string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Namespace = ns } }

// nodes makes a1 and a2 in zone a, b1 in zone b and c1 in none, with pods on them.
func nodes(on map[string][]*corev1.Pod) *framework.Topology {
	node := func(name, zone string) *framework.NodeInfo {
		return sample.Info(sample.With(sample.Node(name), func(n *corev1.Node) {
			if zone != "" {
				n.Labels["zone"] = zone
			}
		}), on[name]...)
	}
	namespaces := framework.NewNamespaces(map[string]labels.Set{"d": {"team": "one"}, "e": {"team": "two"}})
	return sample.Topology(namespaces, node("a1", "a"), node("a2", "a"), node("b1", "b"), node("c1", ""))
}

func TestFilter(t *testing.T) {
	type on = map[string][]*corev1.Pod
	web := named("w", "web")
	tests := []struct {
		name, reason string
		on           on
		pod          *corev1.Pod
		want         []string
	}{
		{"plain", "nobody wants anything", on{"a1": {web}}, named("p", "x"), []string{"", "", "", ""}},
		{"near", "the whole zone is near", on{"a1": {web}}, named("p", "x", wantsNear(to("web", "zone"))), []string{"", "", near, near}},
		{"near, by host", "only the node itself", on{"a1": {web}}, named("p", "x", wantsNear(to("web", corev1.LabelHostname))), []string{"", near, near, near}},
		{"near nobody", "there is none, and it is none itself", nil, named("p", "x", wantsNear(to("web", "zone"))), []string{near, near, near, near}},
		{"founder", "the first of a group that wants to be together goes anywhere with the label", nil,
			named("p", "web", wantsNear(to("web", "zone"))), []string{"", "", "", near}},
		{"second", "the others follow it", on{"b1": {web}}, named("p", "web", wantsNear(to("web", "zone"))), []string{near, near, "", near}},
		{"two terms", "one pod must be meant by both", on{"a1": {web}, "b1": {named("v", "db")}},
			named("p", "x", wantsNear(to("web", "zone"), to("db", "zone"))), []string{near, near, near, near}},
		{"far", "the zone is taken; a node in no zone is far", on{"a1": {web}}, named("p", "x", wantsFar(to("web", "zone"))), []string{far, far, "", ""}},
		{"symmetric", "who is there wants to be far from it", on{"a1": {named("w", "web", wantsFar(to("x", "zone")))}},
			named("p", "x"), []string{farOf, farOf, "", ""}},
		{"not of the other", "it wants to be far from others", on{"a1": {named("w", "web", wantsFar(to("y", "zone")))}}, named("p", "x"), []string{"", "", "", ""}},
		{"another namespace", "terms are about the pod's own namespace", on{"a1": {named("w", "web", in("e"))}},
			named("p", "x", wantsFar(to("web", "zone"))), []string{"", "", "", ""}},
		{"namespaces", "unless they name others", on{"a1": {named("w", "web", in("e"))}},
			named("p", "x", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) { t.Namespaces = []string{"e"} }))), []string{far, far, "", ""}},
		{"namespace selector", "or select them by label", on{"a1": {named("w", "web", in("e"))}, "b1": {web}},
			named("p", "x", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) {
				t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "two"}}
			}))), []string{far, far, "", ""}},
		{"all namespaces", "an empty selector selects all", on{"a1": {named("w", "web", in("e"))}, "b1": {web}},
			named("p", "x", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) { t.NamespaceSelector = &metav1.LabelSelector{} }))), []string{far, far, far, ""}},
		{"no label selector", "selects no pod", on{"a1": {web}}, named("p", "x", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) { t.LabelSelector = nil }))), []string{"", "", "", ""}},
		{"matchLabelKeys", "only pods of the same version", on{"a1": {named("v1", "web")}, "b1": {named("v2", "web")}},
			named("v2", "web", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) { t.MatchLabelKeys = []string{"version"} }))), []string{"", "", far, ""}},
		{"mismatchLabelKeys", "only pods of another version", on{"a1": {named("v1", "web")}, "b1": {named("v2", "web")}},
			named("v2", "web", wantsFar(to("web", "zone", func(t *corev1.PodAffinityTerm) { t.MismatchLabelKeys = []string{"version"} }))), []string{far, far, "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.FitsWide(New(Args{}), nodes(tt.on), tt.pod)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestRank(t *testing.T) {
	type on = map[string][]*corev1.Pod
	web := named("w", "web")
	tests := []struct {
		name, reason string
		args         Args
		on           on
		pod          *corev1.Pod
		want         []int64
	}{
		{"no wishes", "nothing to say", Args{}, on{"a1": {web}}, named("p", "x"), nil},
		{"near", "the zone is better", Args{}, on{"a1": {web}}, named("p", "x", likesNear(5, to("web", "zone"))), []int64{100, 100, 0, 0}},
		{"far", "the zone is worse", Args{}, on{"a1": {web}}, named("p", "x", likesFar(5, to("web", "zone"))), []int64{0, 0, 100, 100}},
		{"counted", "two are better than one", Args{}, on{"a1": {web, named("v", "web")}, "b1": {named("u", "web")}},
			named("p", "x", likesNear(5, to("web", "zone"))), []int64{100, 100, 50, 0}},
		{"symmetric", "who is there likes it", Args{}, on{"b1": {named("w", "web", likesNear(7, to("x", "zone")))}}, named("p", "x"), []int64{0, 0, 100, 0}},
		{"symmetric, far", "who is there does not", Args{}, on{"b1": {named("w", "web", likesFar(7, to("x", "zone")))}}, named("p", "x"), []int64{100, 100, 0, 100}},
		{"symmetric, hard", "who is there needs it: it counts as much as is configured", Args{HardPodAffinityWeight: 10},
			on{"b1": {named("w", "web", wantsNear(to("x", "zone")))}}, named("p", "x"), []int64{0, 0, 100, 0}},
		{"symmetric, hard, not counted", "a weight of 0", Args{}, on{"b1": {named("w", "web", wantsNear(to("x", "zone")))}}, named("p", "x"), nil},
		{"others ignored", "as configured", Args{HardPodAffinityWeight: 1, IgnorePreferredTermsOfExistingPods: true},
			on{"b1": {named("w", "web", likesNear(7, to("x", "zone")))}}, named("p", "x"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample.RankWide(New(tt.args), nodes(tt.on), tt.pod)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestHelps(t *testing.T) {
	came := func(p *corev1.Pod) framework.Event {
		return framework.Event{Kind: framework.PodEvent, NewPod: framework.NewPodInfo(p)}
	}
	went := func(p *corev1.Pod) framework.Event {
		return framework.Event{Kind: framework.PodEvent, OldPod: framework.NewPodInfo(p)}
	}
	lonely, shy := named("p", "x", wantsNear(to("web", "zone"))), named("p", "x", wantsFar(to("web", "zone")))
	tests := []struct {
		name  string
		pod   *corev1.Pod
		event framework.Event
		want  bool
	}{
		{"a friend comes", lonely, came(named("w", "web")), true},
		{"a stranger comes", lonely, came(named("w", "db")), false},
		{"a friend goes", lonely, went(named("w", "web")), false},
		{"a foe goes", shy, went(named("w", "web")), true},
		{"a foe comes", shy, came(named("w", "web")), false},
		{"whose foe it is goes", named("p", "x"), went(named("w", "web", wantsFar(to("x", "zone")))), true},
		{"a node comes", lonely, framework.Event{Kind: framework.NodeEvent}, true},
		{"something else", lonely, framework.Event{Kind: "Other"}, false},
	}
	for _, tt := range tests {
		if got := New(Args{}).Helps(framework.NewPodInfo(tt.pod), tt.event); got != tt.want {
			t.Errorf("%s: helps %t", tt.name, got)
		}
	}
}
