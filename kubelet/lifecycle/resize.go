package lifecycle

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/miniorch/miniorch/kubelet/container"
)

// LabelSize is the label that says which CPU and memory a container was given: what a pod wants
// may change while it runs.
const LabelSize = "miniorch.dev/size"

// sized are the resources that can change, in the order in which a size names them.
var sized = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// Size writes down the request and the limit of each resource that can change: "100m 200m 64Mi -".
func Size(r corev1.ResourceRequirements) string {
	var words []string
	for _, name := range sized {
		for _, list := range []corev1.ResourceList{r.Requests, r.Limits} {
			word := "-"
			if q, ok := list[name]; ok {
				word = q.String()
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// WithSize returns r with the CPU and memory of a size; r itself if there is none.
func WithSize(r corev1.ResourceRequirements, size string) corev1.ResourceRequirements {
	words := strings.Fields(size)
	if len(words) != 2*len(sized) {
		return r
	}
	out := *r.DeepCopy()
	for i, name := range sized {
		out.Requests = withQuantity(out.Requests, name, words[2*i])
		out.Limits = withQuantity(out.Limits, name, words[2*i+1])
	}
	return out
}

func withQuantity(list corev1.ResourceList, name corev1.ResourceName, word string) corev1.ResourceList {
	q, err := resource.ParseQuantity(word)
	if word == "-" || err != nil {
		delete(list, name)
		return list
	}
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[name] = q
	return list
}

// Refusal says why a pod cannot be given the resources that it wants now; nobody was asked if it
// wants none.
type Refusal struct {
	Reason, Message string
}

// Outsize is a running container that has another size than its pod wants it to have.
type Outsize struct {
	Container container.Container
	Spec      *corev1.Container
	// InPlace: it can be changed while it runs.
	InPlace bool
}

// Outsized lists such containers.
func Outsized(pod *corev1.Pod, containers []container.Container) []Outsize {
	var out []Outsize
	v := newView(pod, Observed{Containers: containers}, time.Time{})
	for _, u := range v.resizable() {
		if u.outsized() {
			out = append(out, Outsize{*u.latest, u.spec, u.alive() && !u.restartToResize()})
		}
	}
	return out
}

// Widened returns the pod with the larger of what its containers have and are to have.
func Widened(pod *corev1.Pod, outsized []Outsize) *corev1.Pod {
	wide := pod.DeepCopy()
	for _, o := range outsized {
		given := WithSize(o.Spec.Resources, o.Container.Labels[LabelSize])
		for _, list := range [][]corev1.Container{wide.Spec.Containers, wide.Spec.InitContainers} {
			for i := range list {
				if list[i].Name == o.Spec.Name {
					widen(&list[i].Resources, given)
				}
			}
		}
	}
	return wide
}

func widen(r *corev1.ResourceRequirements, given corev1.ResourceRequirements) {
	for _, name := range sized {
		if had, ok := given.Requests[name]; ok && had.Cmp(r.Requests[name]) > 0 {
			r.Requests = withQuantity(r.Requests, name, had.String())
		}
		if had, ok := given.Limits[name]; !ok {
			delete(r.Limits, name)
		} else if limit, bounded := r.Limits[name]; bounded && had.Cmp(limit) > 0 {
			r.Limits[name] = had
		}
	}
}

// PodSize writes down the sizes of all of a pod's containers.
func PodSize(pod *corev1.Pod) string {
	var sizes []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			sizes = append(sizes, Size(list[i].Resources))
		}
	}
	return strings.Join(sizes, ", ")
}

// Resize decides whether a running pod can be given what it wants, beside the others.
func Resize(pod *corev1.Pod, others []*corev1.Pod, node *corev1.Node) *Refusal {
	if r := fits(pod, nil, node); r != nil {
		return &Refusal{corev1.PodReasonInfeasible, r.Message}
	}
	if r := fits(pod, others, node); r != nil {
		return &Refusal{corev1.PodReasonDeferred, r.Message}
	}
	return nil
}

// resizable are the containers whose size may change.
func (v *view) resizable() []*unit {
	out := slices.Clone(v.apps)
	for _, u := range v.init {
		if u.sidecar() {
			out = append(out, u)
		}
	}
	return out
}

// size is that of the newest instance; empty if it has none that is known.
func (u *unit) size() string {
	if u.latest == nil {
		return ""
	}
	return u.latest.Labels[LabelSize]
}

func (u *unit) outsized() bool {
	size := u.size()
	return size != "" && size != Size(u.spec.Resources)
}

// given are the resources that the container has.
func (u *unit) given() corev1.ResourceRequirements { return WithSize(u.spec.Resources, u.size()) }

// restartToResize reports whether a change is of a resource for which the container wants to be
// restarted.
func (u *unit) restartToResize() bool {
	is, want := strings.Fields(u.size()), strings.Fields(Size(u.spec.Resources))
	for _, p := range u.spec.ResizePolicy {
		i := 2 * slices.Index(sized, p.ResourceName)
		if i >= 0 && p.RestartPolicy == corev1.RestartContainer && !slices.Equal(is[i:i+2], want[i:i+2]) {
			return true
		}
	}
	return false
}

// resize gives containers their new sizes: all at once those that can be changed while they run,
// and a restart to the others.
func (v *view) resize(p *Plan) {
	if v.Refusal != nil {
		return
	}
	var names []string
	for _, u := range v.resizable() {
		if u.alive() && u.outsized() && !u.restartToResize() {
			names = append(names, u.spec.Name)
		}
	}
	if len(names) > 0 {
		v.do(p, Action{Verb: ResizePod, Name: strings.Join(names, " and ")})
	}
}

// resizeConditions says how far a change of sizes is.
func (v *view) resizeConditions(s *corev1.PodStatus) {
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c corev1.PodCondition) bool {
		pending := c.Type == corev1.PodResizePending && (v.Refusal == nil || v.mustStop())
		return pending || c.Type == corev1.PodResizeInProgress && (!v.inResize() || v.Refusal != nil)
	})
	switch {
	case v.mustStop():
	case v.Refusal != nil:
		v.set(s, corev1.PodResizePending, true, v.Refusal.Reason, v.Refusal.Message)
	case v.inResize():
		reason := ""
		if v.ResizeError != "" {
			reason = corev1.PodReasonError
		}
		v.set(s, corev1.PodResizeInProgress, true, reason, v.ResizeError)
	}
}

// inResize: a size that was granted is not there yet.
func (v *view) inResize() bool {
	return !v.mustStop() && slices.ContainsFunc(v.resizable(), (*unit).outsized)
}

// sizes tells what a container has, and what was set aside for it.
func (v *view) sizes(u *unit, s *corev1.ContainerStatus) {
	given := u.given()
	s.Resources = &corev1.ResourceRequirements{Limits: given.Limits, Requests: given.Requests}
	s.AllocatedResources = u.spec.Resources.Requests
	if v.Refusal != nil {
		s.AllocatedResources = given.Requests
	}
}
