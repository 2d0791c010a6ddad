package scheduler

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// This file is the reference for what pods want of other pods: it walks over all of them, for
// each node and each term.

var teams = map[string]string{"d": "one", "e": "two"}

// is reports whether the term of owner is about the pod.
func is(t *corev1.PodAffinityTerm, owner, pod *corev1.Pod) bool {
	in := len(t.Namespaces) == 0 && t.NamespaceSelector == nil && owner.Namespace == pod.Namespace || slices.Contains(t.Namespaces, pod.Namespace)
	if s, _ := metav1.LabelSelectorAsSelector(t.NamespaceSelector); t.NamespaceSelector != nil && s.Matches(labels.Set{"team": teams[pod.Namespace]}) {
		in = true
	}
	s, _ := metav1.LabelSelectorAsSelector(t.LabelSelector)
	for _, k := range t.MatchLabelKeys {
		if owner.Labels[k] != pod.Labels[k] {
			return false
		}
	}
	return in && s.Matches(labels.Set(pod.Labels))
}

func affinityOf(p *corev1.Pod) (near, far []corev1.PodAffinityTerm, nearby, faraway []corev1.WeightedPodAffinityTerm) {
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
		near, nearby = a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	}
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		far, faraway = a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	}
	return near, far, nearby, faraway
}

// together reports whether two nodes are in one domain of key.
func (c *cluster) together(n *corev1.Node, other, key string) bool {
	m := c.nodes[other]
	if m == nil {
		return false
	}
	a, ok := n.Labels[key]
	b, too := m.Labels[key]
	return ok && too && a == b
}

func (c *cluster) refusesCompany(pod *corev1.Pod, n *corev1.Node) []string {
	if why := c.refusesUnevenness(pod, n); why != nil {
		return why
	}
	near, far, _, _ := affinityOf(pod)
	all := func(p *corev1.Pod) bool {
		return !slices.ContainsFunc(near, func(t corev1.PodAffinityTerm) bool { return !is(&t, pod, p) })
	}
	founder := all(pod)
	for _, t := range near {
		if _, ok := n.Labels[t.TopologyKey]; !ok {
			return []string{"node(s) didn't match pod affinity rules"}
		}
		for _, p := range c.pods {
			if m := c.nodes[p.Spec.NodeName]; m != nil && all(p) {
				if _, ok := m.Labels[t.TopologyKey]; ok {
					founder = false
				}
			}
		}
	}
	for _, t := range near {
		friend := false
		for _, p := range c.pods {
			friend = friend || all(p) && c.together(n, p.Spec.NodeName, t.TopologyKey)
		}
		if !friend && !founder {
			return []string{"node(s) didn't match pod affinity rules"}
		}
	}
	for _, t := range far {
		for _, p := range c.pods {
			if is(&t, pod, p) && c.together(n, p.Spec.NodeName, t.TopologyKey) {
				return []string{"node(s) didn't match pod anti-affinity rules"}
			}
		}
	}
	for _, p := range c.pods {
		_, far, _, _ := affinityOf(p)
		for _, t := range far {
			if is(&t, p, pod) && c.together(n, p.Spec.NodeName, t.TopologyKey) {
				return []string{"node(s) didn't satisfy existing pods anti-affinity rules"}
			}
		}
	}
	return nil
}

// company scores nodes by who is near, all in [0, 100].
func (c *cluster) company(pod *corev1.Pod, passed []string) []int64 {
	raw := make([]int64, len(passed))
	_, _, nearby, faraway := affinityOf(pod)
	for i, name := range passed {
		n := c.nodes[name]
		for _, p := range c.pods {
			add := func(t corev1.PodAffinityTerm, owner, other *corev1.Pod, weight int32) {
				if is(&t, owner, other) && c.together(n, p.Spec.NodeName, t.TopologyKey) {
					raw[i] += int64(weight)
				}
			}
			for _, t := range nearby {
				add(t.PodAffinityTerm, pod, p, t.Weight)
			}
			for _, t := range faraway {
				add(t.PodAffinityTerm, pod, p, -t.Weight)
			}
			near, _, nearby, faraway := affinityOf(p)
			for _, t := range near {
				add(t, p, pod, 1)
			}
			for _, t := range nearby {
				add(t.PodAffinityTerm, p, pod, t.Weight)
			}
			for _, t := range faraway {
				add(t.PodAffinityTerm, p, pod, -t.Weight)
			}
		}
	}
	low, high := slices.Min(raw), slices.Max(raw)
	for i := range raw {
		if high == low {
			raw[i] = 0
		} else {
			raw[i] = 100 * (raw[i] - low) / (high - low)
		}
	}
	return raw
}

// constraintsOf returns a pod's constraints of one kind and the keys that a node needs to count.
func constraintsOf(pod *corev1.Pod, kind corev1.UnsatisfiableConstraintAction) (list []corev1.TopologySpreadConstraint, keys []string) {
	for _, t := range pod.Spec.TopologySpreadConstraints {
		if t.WhenUnsatisfiable == kind {
			list, keys = append(list, t), append(keys, t.TopologyKey)
		}
	}
	return list, keys
}

// counts returns the pods in each domain of a constraint; a domain without any is there too.
func (c *cluster) counts(pod *corev1.Pod, t corev1.TopologySpreadConstraint, keys []string) map[string]int64 {
	s, _ := metav1.LabelSelectorAsSelector(t.LabelSelector)
	out := map[string]int64{}
	for name, n := range c.nodes {
		if slices.ContainsFunc(keys, func(k string) bool { _, ok := n.Labels[k]; return !ok }) {
			continue
		}
		if t.NodeAffinityPolicy == nil || *t.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor {
			if disk := pod.Spec.NodeSelector["disk"]; disk != "" && disk != n.Labels["disk"] {
				continue
			}
		}
		if t.NodeTaintsPolicy != nil && *t.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor &&
			slices.ContainsFunc(n.Spec.Taints, func(x corev1.Taint) bool { return x.Effect == corev1.TaintEffectNoSchedule && !tolerated(pod, x) }) {
			continue
		}
		out[n.Labels[t.TopologyKey]] += 0
		for _, p := range c.on(name) {
			if p.Namespace == pod.Namespace && p.DeletionTimestamp == nil && s.Matches(labels.Set(p.Labels)) {
				out[n.Labels[t.TopologyKey]]++
			}
		}
	}
	return out
}

func (c *cluster) refusesUnevenness(pod *corev1.Pod, n *corev1.Node) []string {
	list, keys := constraintsOf(pod, corev1.DoNotSchedule)
	for _, t := range list {
		value, ok := n.Labels[t.TopologyKey]
		if !ok {
			return []string{"node(s) didn't match pod topology spread constraints (missing required label)"}
		}
		counts := c.counts(pod, t, keys)
		lowest := int64(math.MaxInt32)
		for _, n := range counts {
			lowest = min(lowest, n)
		}
		if t.MinDomains != nil && len(counts) < int(*t.MinDomains) {
			lowest = 0
		}
		self := int64(0)
		if s, _ := metav1.LabelSelectorAsSelector(t.LabelSelector); s.Matches(labels.Set(pod.Labels)) {
			self = 1
		}
		if counts[value]+self-lowest > int64(t.MaxSkew) {
			return []string{"node(s) didn't match pod topology spread constraints"}
		}
	}
	return nil
}

// evenness scores nodes by the soft constraints, all in [0, 100].
func (c *cluster) evenness(pod *corev1.Pod, passed []string) []int64 {
	list, keys := constraintsOf(pod, corev1.ScheduleAnyway)
	out := make([]int64, len(passed))
	if len(list) == 0 {
		return out
	}
	worst := func(name string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { _, ok := c.nodes[name].Labels[k]; return !ok })
	}
	ranked := 0
	for _, name := range passed {
		if !worst(name) {
			ranked++
		}
	}
	sums := make([]float64, len(passed))
	for _, t := range list {
		counts, domains := c.counts(pod, t, keys), map[string]bool{}
		for _, name := range passed {
			if !worst(name) {
				domains[c.nodes[name].Labels[t.TopologyKey]] = true
			}
		}
		size := len(domains)
		if t.TopologyKey == corev1.LabelHostname {
			size = ranked
		}
		for i, name := range passed {
			sums[i] += float64(counts[c.nodes[name].Labels[t.TopologyKey]])*math.Log(float64(size+2)) + float64(t.MaxSkew-1)
		}
	}
	low, high := int64(math.MaxInt64), int64(0)
	for i, name := range passed {
		if !worst(name) {
			out[i] = int64(math.Round(sums[i]))
			low, high = min(low, out[i]), max(high, out[i])
		}
	}
	for i, name := range passed {
		switch {
		case worst(name):
			out[i] = 0
		case high == 0:
			out[i] = 100
		default:
			out[i] = 100 * (high + low - out[i]) / high
		}
	}
	return out
}

// sociable gives a pod wishes and demands about other pods.
func (r randomly) sociable(p *corev1.Pod) {
	a := &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, PodAntiAffinity: &corev1.PodAntiAffinity{}}
	if r.IntN(3) > 0 {
		p.Spec.Affinity = a
	}
	if r.IntN(4) == 0 {
		a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = r.terms(1 + r.IntN(2))
	}
	if r.IntN(3) == 0 {
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = r.terms(1 + r.IntN(2))
	}
	for _, t := range r.terms(r.IntN(3)) {
		a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution,
			corev1.WeightedPodAffinityTerm{Weight: 1 + r.Int32N(100), PodAffinityTerm: t})
	}
	for _, t := range r.terms(r.IntN(3)) {
		a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution,
			corev1.WeightedPodAffinityTerm{Weight: 1 + r.Int32N(100), PodAffinityTerm: t})
	}
	for range r.IntN(3) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, r.constraint())
	}
}

func (r randomly) selector() *metav1.LabelSelector {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return &metav1.LabelSelector{}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": r.oneOf("a", "b", "c")}}
}

func (r randomly) terms(n int) (out []corev1.PodAffinityTerm) {
	for range n {
		t := corev1.PodAffinityTerm{TopologyKey: r.oneOf("zone", corev1.LabelHostname), LabelSelector: r.selector()}
		switch r.IntN(6) {
		case 0:
			t.Namespaces = []string{"e"}
		case 1:
			t.NamespaceSelector = &metav1.LabelSelector{}
		case 2:
			t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": r.oneOf("one", "two")}}
		case 3:
			if t.LabelSelector != nil {
				t.MatchLabelKeys = []string{"tier"}
			}
		}
		out = append(out, t)
	}
	return out
}

func (r randomly) constraint() corev1.TopologySpreadConstraint {
	t := corev1.TopologySpreadConstraint{
		MaxSkew: 1 + r.Int32N(3), TopologyKey: r.oneOf("zone", corev1.LabelHostname), LabelSelector: r.selector(),
		WhenUnsatisfiable: corev1.ScheduleAnyway,
	}
	policies := []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
	if r.IntN(2) == 0 {
		t.WhenUnsatisfiable = corev1.DoNotSchedule
		if r.IntN(2) == 0 {
			n := 1 + r.Int32N(4)
			t.MinDomains = &n
		}
	}
	if r.IntN(3) == 0 {
		t.NodeAffinityPolicy = &policies[r.IntN(2)]
	}
	if r.IntN(3) == 0 && t.WhenUnsatisfiable == corev1.DoNotSchedule {
		t.NodeTaintsPolicy = &policies[r.IntN(2)]
	}
	return t
}
