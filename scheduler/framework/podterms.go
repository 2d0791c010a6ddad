package framework

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// PodTerm is a parsed pod affinity term: which pods it is about, and what counts as near.
type PodTerm struct {
	TopologyKey string
	Weight      int64 // of a preferred term; 0: required
	key         string
	namespaces  []string        // sorted
	anywhere    labels.Selector // of namespaces; nil: none but namespaces
	pods        labels.Selector
}

// Key is equal for terms that are about the same pods and the same topology.
func (t *PodTerm) Key() string { return t.key }

// Matches reports whether the term is about the pod.
func (t *PodTerm) Matches(pod *PodInfo, namespaces *Namespaces) bool {
	if !slices.Contains(t.namespaces, pod.Pod.Namespace) &&
		(t.anywhere == nil || !t.anywhere.Matches(namespaces.Labels(pod.Pod.Namespace))) {
		return false
	}
	return t.pods.Matches(labels.Set(pod.Pod.Labels))
}

// MayMatch is Matches for who does not know the labels of namespaces.
func (t *PodTerm) MayMatch(pod *PodInfo) bool {
	return (t.anywhere != nil || slices.Contains(t.namespaces, pod.Pod.Namespace)) && t.pods.Matches(labels.Set(pod.Pod.Labels))
}

// PodTerms are a pod's parsed terms, by what they demand or prefer.
type PodTerms struct {
	Affinity, AntiAffinity                   []PodTerm // required
	PreferredAffinity, PreferredAntiAffinity []PodTerm
}

// parsePodTerms reads spec.affinity; nil if there is none between pods.
func parsePodTerms(pod *corev1.Pod) (*PodTerms, error) {
	a := pod.Spec.Affinity
	if a == nil || a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return nil, nil
	}
	var out PodTerms
	var err error
	if p := a.PodAffinity; p != nil {
		if out.Affinity, err = required(pod, p.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return nil, err
		}
		if out.PreferredAffinity, err = preferred(pod, p.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
			return nil, err
		}
	}
	if p := a.PodAntiAffinity; p != nil {
		if out.AntiAffinity, err = required(pod, p.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return nil, err
		}
		if out.PreferredAntiAffinity, err = preferred(pod, p.PreferredDuringSchedulingIgnoredDuringExecution); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func required(pod *corev1.Pod, terms []corev1.PodAffinityTerm) (out []PodTerm, err error) {
	for i := range terms {
		t, err := parsePodTerm(pod, &terms[i])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func preferred(pod *corev1.Pod, terms []corev1.WeightedPodAffinityTerm) (out []PodTerm, err error) {
	for i := range terms {
		t, err := parsePodTerm(pod, &terms[i].PodAffinityTerm)
		if err != nil {
			return nil, err
		}
		t.Weight = int64(terms[i].Weight)
		out = append(out, t)
	}
	return out, nil
}

func parsePodTerm(pod *corev1.Pod, term *corev1.PodAffinityTerm) (PodTerm, error) {
	t := PodTerm{TopologyKey: term.TopologyKey, namespaces: slices.Clone(term.Namespaces)}
	if len(t.namespaces) == 0 && term.NamespaceSelector == nil {
		t.namespaces = []string{pod.Namespace}
	}
	slices.Sort(t.namespaces)
	var err error
	if term.NamespaceSelector != nil {
		if t.anywhere, err = metav1.LabelSelectorAsSelector(term.NamespaceSelector); err != nil {
			return t, fmt.Errorf("namespaceSelector: %w", err)
		}
	}
	if t.pods, err = metav1.LabelSelectorAsSelector(term.LabelSelector); err != nil {
		return t, fmt.Errorf("labelSelector: %w", err)
	}
	if t.pods, err = SelectLike(t.pods, pod, term.MatchLabelKeys, selection.In); err != nil {
		return t, err
	}
	if t.pods, err = SelectLike(t.pods, pod, term.MismatchLabelKeys, selection.NotIn); err != nil {
		return t, err
	}
	t.key = fmt.Sprintf("%s|%s|%s|%s", t.TopologyKey, strings.Join(t.namespaces, ","), DescribeSelector(t.anywhere), DescribeSelector(t.pods))
	return t, nil
}

// DescribeSelector returns a text that is equal for equal selectors only: unlike String it tells
// everything, nothing and none apart.
func DescribeSelector(s labels.Selector) string {
	switch {
	case s == nil:
		return "-"
	case s.Empty():
		return "*"
	}
	if _, selectable := s.Requirements(); !selectable {
		return "!"
	}
	return s.String()
}

// SelectLike narrows a selector to pods whose labels of the given keys are (In) or are not
// (NotIn) the pod's own. Keys that the pod has not are left out, as is everything if the
// selector selects nothing.
func SelectLike(s labels.Selector, pod *corev1.Pod, keys []string, op selection.Operator) (labels.Selector, error) {
	if _, selectable := s.Requirements(); !selectable {
		return s, nil
	}
	for _, k := range keys {
		v, ok := pod.Labels[k]
		if !ok {
			continue
		}
		r, err := labels.NewRequirement(k, op, []string{v})
		if err != nil {
			return nil, fmt.Errorf("label key %q: %w", k, err)
		}
		s = s.Add(*r)
	}
	return s, nil
}

// Namespaces is the labels of all namespaces at one moment. It is immutable; equal pointers
// mean that nothing changed. Nil knows of none.
type Namespaces struct{ labels map[string]labels.Set }

// Labels returns a namespace's labels.
func (n *Namespaces) Labels(name string) labels.Set {
	if n == nil {
		return nil
	}
	return n.labels[name]
}

// NewNamespaces returns the namespaces with the given labels; it takes the map over.
func NewNamespaces(byName map[string]labels.Set) *Namespaces { return &Namespaces{labels: byName} }
