package namespace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// Content is what one resource still has in a namespace.
type Content struct {
	Resource   api.Resource
	Count      int
	Pending    int            // of Count: not yet asked to go
	Finalizers map[string]int // finalizer → objects that it holds
}

// observed is what is decided from.
type observed struct {
	Namespace *corev1.Namespace
	Content   []Content // resources with Count 0 may be left out
	Discovery error     // why some resources are not known
	Failures  []error   // why some content could not be read or deleted
	Now       time.Time
}

// Plan is what is to be done about a namespace that is going.
type Plan struct {
	Delete     []api.Resource // collections to delete
	Finalize   bool           // the namespace is empty: let it go
	Conditions []corev1.NamespaceCondition
	Left       int // objects that are there still
}

// String prints the plan.
func (p Plan) String() string {
	if p.Finalize {
		return "finalize"
	}
	names := make([]string, len(p.Delete))
	for i, r := range p.Delete {
		names[i] = r.String()
	}
	return fmt.Sprintf("delete [%s], wait for %d objects", strings.Join(names, " "), p.Left)
}

// decide empties a terminating namespace: pods first, so that what they run ends while the
// policies and secrets around them still stand (KEP-5080), then all else. Finalizers of
// content are waited for, never removed.
func decide(o observed) Plan {
	if o.Namespace.DeletionTimestamp == nil || !slices.Contains(o.Namespace.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return Plan{Conditions: o.Namespace.Status.Conditions}
	}
	p := Plan{Conditions: conditions(o)}
	pods := false
	for _, c := range o.Content {
		p.Left += c.Count
		pods = pods || isPods(c.Resource) && c.Count > 0
	}
	for _, c := range o.Content {
		if c.Pending > 0 && (!pods || isPods(c.Resource)) {
			p.Delete = append(p.Delete, c.Resource)
		}
	}
	p.Finalize = p.Left == 0 && o.Discovery == nil && len(o.Failures) == 0
	return p
}

func isPods(r api.Resource) bool { return r.Group == "" && r.Name == "pods" }

// conditions tells in five conditions how far the deletion is, in the words people know.
func conditions(o observed) []corev1.NamespaceCondition {
	type verdict struct {
		t           corev1.NamespaceConditionType
		bad         bool
		good, worse string // reasons
		fine, wrong string // messages
	}
	remaining, finalizers := remainders(awaited(o.Content))
	verdicts := []verdict{
		{corev1.NamespaceDeletionDiscoveryFailure, o.Discovery != nil, "ResourcesDiscovered", "DiscoveryFailed",
			"All resources successfully discovered", fmt.Sprintf("Discovery failed for some groups: %v", o.Discovery)},
		{corev1.NamespaceDeletionGVParsingFailure, false, "ParsedGroupVersions", "",
			"All legacy kube types successfully parsed", ""},
		{corev1.NamespaceDeletionContentFailure, len(o.Failures) > 0, "ContentDeleted", "ContentDeletionFailed",
			"All content successfully deleted, may be waiting on finalization", fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", len(o.Failures), join(o.Failures))},
		{corev1.NamespaceContentRemaining, remaining != "", "ContentRemoved", "SomeResourcesRemain",
			"All content successfully removed", "Some resources are remaining: " + remaining},
		{corev1.NamespaceFinalizersRemaining, finalizers != "", "ContentHasNoFinalizers", "SomeFinalizersRemain",
			"All content-preserving finalizers finished", "Some content in the namespace has finalizers remaining: " + finalizers},
	}
	all := slices.Clone(o.Namespace.Status.Conditions)
	for _, v := range verdicts {
		c := corev1.NamespaceCondition{Type: v.t, Status: corev1.ConditionFalse, Reason: v.good, Message: v.fine, LastTransitionTime: metav1.NewTime(o.Now)}
		if v.bad {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, v.worse, v.wrong
		}
		all = set(all, c)
	}
	return all
}

// set replaces a condition; the transition time is that of the last change of its status.
func set(all []corev1.NamespaceCondition, c corev1.NamespaceCondition) []corev1.NamespaceCondition {
	at := slices.IndexFunc(all, func(x corev1.NamespaceCondition) bool { return x.Type == c.Type })
	if at < 0 {
		return append(all, c)
	}
	if all[at].Status == c.Status {
		c.LastTransitionTime = all[at].LastTransitionTime
	}
	all[at] = c
	return all
}

// awaited is what is waited for now: as long as there are pods, nothing else has been asked to go.
func awaited(content []Content) []Content {
	for _, c := range content {
		if isPods(c.Resource) && c.Count > 0 {
			return []Content{c}
		}
	}
	return content
}

func remainders(content []Content) (resources, finalizers string) {
	var left []string
	held := map[string]int{}
	for _, c := range content {
		if c.Count > 0 {
			left = append(left, fmt.Sprintf("%s.%s has %d resource instances", c.Resource.Name, c.Resource.Group, c.Count))
		}
		for f, n := range c.Finalizers {
			held[f] += n
		}
	}
	var holders []string
	for f, n := range held {
		holders = append(holders, fmt.Sprintf("%s in %d resource instances", f, n))
	}
	slices.Sort(left)
	slices.Sort(holders)
	return strings.Join(left, ", "), strings.Join(holders, ", ")
}

func join(errs []error) string {
	words := make([]string, len(errs))
	for i, err := range errs {
		words[i] = err.Error()
	}
	slices.Sort(words) // the message must not change with the order of reading
	return strings.Join(words, ", ")
}
