package scheduler

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// Change is something that could be otherwise in the cluster, or about the pod: "untaint n3
// dedicated". It prints as it is written.
type Change struct {
	text  string
	apply func(m *imagined) error
}

// String returns the change as users write it.
func (c Change) String() string { return c.text }

// imagined is the nodes and the pod as they would be.
type imagined struct {
	nodes framework.Snapshot
	pod   *corev1.Pod
}

// Changes says what can be asked for, in the order in which it should be read.
const Changes = `node NODE +QUANTITY RESOURCE    more of a resource: node n2 +1cpu, node n2 +2Gi memory
untaint NODE KEY                take the taints of a key off a node
uncordon NODE                   let new pods onto a node
cordon NODE                     keep new pods off a node
label NODE KEY=VALUE            set a label of a node
unlabel NODE KEY                remove a label of a node
evict [NAMESPACE/]POD           without another pod; the namespace is the pod's own if none is named
without NODE                    without a node
request RESOURCE=QUANTITY       the pod requests so much
tolerate KEY                    the pod tolerates all taints of a key`

// ParseChange reads a change. namespace is for pods that are named without.
func ParseChange(text, namespace string) (Change, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Change{}, fmt.Errorf("an empty change: one of\n%s", Changes)
	}
	verb, args := words[0], words[1:]
	for _, v := range changeVerbs {
		if v.name != verb {
			continue
		}
		if len(args) < v.least || len(args) > v.most {
			return Change{}, fmt.Errorf("%q: wrong number of words: one of\n%s", text, Changes)
		}
		apply, err := v.parse(args, namespace)
		if err != nil {
			return Change{}, fmt.Errorf("%q: %w", text, err)
		}
		return Change{strings.Join(words, " "), apply}, nil
	}
	return Change{}, fmt.Errorf("%q: not known: one of\n%s", text, Changes)
}

type changeVerb struct {
	name        string
	least, most int
	parse       func(args []string, namespace string) (func(*imagined) error, error)
}

// changeVerbs are the first words of changes. It never changes.
var changeVerbs = []changeVerb{
	{"node", 2, 3, parseMore},
	{"untaint", 2, 2, func(a []string, _ string) (func(*imagined) error, error) {
		return onNode(a[0], func(n *corev1.Node) error {
			before := len(n.Spec.Taints)
			n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == a[1] })
			if len(n.Spec.Taints) == before {
				return fmt.Errorf("node %s has no taint %s", n.Name, a[1])
			}
			return nil
		}), nil
	}},
	{"uncordon", 1, 1, func(a []string, _ string) (func(*imagined) error, error) {
		return onNode(a[0], func(n *corev1.Node) error {
			n.Spec.Unschedulable = false
			n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
			return nil
		}), nil
	}},
	{"cordon", 1, 1, func(a []string, _ string) (func(*imagined) error, error) {
		return onNode(a[0], func(n *corev1.Node) error { n.Spec.Unschedulable = true; return nil }), nil
	}},
	{"label", 2, 2, func(a []string, _ string) (func(*imagined) error, error) {
		key, value, ok := strings.Cut(a[1], "=")
		if !ok {
			return nil, fmt.Errorf("%q is no KEY=VALUE", a[1])
		}
		return onNode(a[0], func(n *corev1.Node) error {
			if n.Labels == nil {
				n.Labels = make(map[string]string)
			}
			n.Labels[key] = value
			return nil
		}), nil
	}},
	{"unlabel", 2, 2, func(a []string, _ string) (func(*imagined) error, error) {
		return onNode(a[0], func(n *corev1.Node) error { delete(n.Labels, a[1]); return nil }), nil
	}},
	{"evict", 1, 1, parseEvict},
	{"without", 1, 1, func(a []string, _ string) (func(*imagined) error, error) {
		return func(m *imagined) error { return m.without(a[0]) }, nil
	}},
	{"request", 1, 1, parseRequest},
	{"tolerate", 1, 1, func(a []string, _ string) (func(*imagined) error, error) {
		return func(m *imagined) error {
			m.pod.Spec.Tolerations = append(m.pod.Spec.Tolerations, corev1.Toleration{Key: a[0], Operator: corev1.TolerationOpExists})
			return nil
		}, nil
	}},
}

// onNode changes a copy of a node.
func onNode(name string, change func(*corev1.Node) error) func(*imagined) error {
	return func(m *imagined) error {
		at := m.nodes.Position(name)
		if at < 0 {
			return fmt.Errorf("there is no node %q", name)
		}
		n := m.nodes.At(at).Node.DeepCopy()
		if err := change(n); err != nil {
			return err
		}
		m.nodes = m.nodes.With(at, m.nodes.At(at).WithNode(n))
		return nil
	}
}

func (m *imagined) without(name string) error {
	if m.nodes.Position(name) < 0 {
		return fmt.Errorf("there is no node %q", name)
	}
	var left []*framework.NodeInfo
	for i := range m.nodes.Len() {
		if n := m.nodes.At(i); n.Name != name {
			left = append(left, n)
		}
	}
	known := m.nodes.Namespaces
	m.nodes = framework.NewSnapshot(left)
	m.nodes.Namespaces = known
	return nil
}

func parseMore(a []string, _ string) (func(*imagined) error, error) {
	more, ok := strings.CutPrefix(strings.Join(a[1:], " "), "+")
	if !ok {
		return nil, fmt.Errorf("%q does not begin with a +", a[1])
	}
	quantity, name, err := splitAmount(more)
	if err != nil {
		return nil, err
	}
	return onNode(a[0], func(n *corev1.Node) error {
		list := n.Status.Allocatable.DeepCopy()
		if list == nil {
			list = corev1.ResourceList{}
		}
		sum := list[name]
		sum.Add(quantity)
		list[name] = sum
		n.Status.Allocatable = list
		return nil
	}), nil
}

// splitAmount reads "2Gi memory", "1cpu" or "1example.com/gpu".
func splitAmount(s string) (resource.Quantity, corev1.ResourceName, error) {
	if number, name, ok := strings.Cut(s, " "); ok {
		q, err := resource.ParseQuantity(number)
		return q, corev1.ResourceName(name), err
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage} {
		if number, ok := strings.CutSuffix(s, string(name)); ok {
			q, err := resource.ParseQuantity(number)
			return q, name, err
		}
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end <= 0 {
		return resource.Quantity{}, "", fmt.Errorf("%q is no amount of a resource, such as 1cpu or 2Gi memory", s)
	}
	q, err := resource.ParseQuantity(s[:end])
	return q, corev1.ResourceName(s[end:]), err
}

func parseEvict(a []string, namespace string) (func(*imagined) error, error) {
	ns, name, ok := strings.Cut(a[0], "/")
	if !ok {
		ns, name = namespace, a[0]
	}
	return func(m *imagined) error {
		for i := range m.nodes.Len() {
			n := m.nodes.At(i)
			for _, p := range n.Pods {
				if p.Pod.Namespace == ns && p.Pod.Name == name {
					m.nodes = m.nodes.With(i, n.WithoutPod(p))
					return nil
				}
			}
		}
		return fmt.Errorf("pod %s/%s is on no node", ns, name)
	}, nil
}

func parseRequest(a []string, _ string) (func(*imagined) error, error) {
	name, number, ok := strings.Cut(a[0], "=")
	q, err := resource.ParseQuantity(number)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is no RESOURCE=QUANTITY", a[0])
	}
	return func(m *imagined) error {
		if m.pod.Spec.Resources == nil {
			m.pod.Spec.Resources = &corev1.ResourceRequirements{}
		}
		if m.pod.Spec.Resources.Requests == nil {
			m.pod.Spec.Resources.Requests = corev1.ResourceList{}
		}
		m.pod.Spec.Resources.Requests[corev1.ResourceName(name)] = q
		return nil
	}, nil
}
