package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/miniorch/miniorch/pkg/api"
)

// limitRangerNote is the annotation that says which requests and limits were filled in.
const limitRangerNote = "kubernetes.io/limit-ranger"

// LimitRanger fills in what pods' containers leave open with the defaults of their namespace's
// LimitRanges, and refuses pods and claims that ask for less or more than those allow.
type LimitRanger struct {
	Read Reader
}

// Name implements Plugin.
func (LimitRanger) Name() string { return "LimitRanger" }

// Admit implements Mutator.
func (p LimitRanger) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Operation != Create || r.Subresource != "" {
		return nil
	}
	ranges, err := p.ranges(ctx, r.Namespace)
	if err != nil {
		return err
	}
	for _, lr := range ranges {
		fillPod(pod, lr)
	}
	return nil
}

// Validate implements Validator.
func (p LimitRanger) Validate(ctx context.Context, r *Request) error {
	var check func(*corev1.LimitRange) []error
	switch obj := r.Object.(type) {
	case *corev1.Pod: // its resources stay as they were made, but for in-place resizing
		if r.Operation != Create && r.Subresource != "resize" || r.Operation == Create && r.Subresource != "" {
			return nil
		}
		check = func(lr *corev1.LimitRange) []error { return checkPodLimits(obj, lr) }
	case *corev1.PersistentVolumeClaim:
		if r.Subresource != "" {
			return nil
		}
		check = func(lr *corev1.LimitRange) []error { return checkClaimLimits(obj, lr) }
	default:
		return nil
	}
	ranges, err := p.ranges(ctx, r.Namespace)
	if err != nil {
		return err
	}
	for _, lr := range ranges {
		if errs := check(lr); len(errs) > 0 {
			return Forbid(r, "%w", utilerrors.NewAggregate(errs))
		}
	}
	return nil
}

func (p LimitRanger) ranges(ctx context.Context, ns string) ([]*corev1.LimitRange, error) {
	objs, err := p.Read.List(ctx, api.ResourceFor[*corev1.LimitRange]().GVR(), ns)
	if err != nil {
		return nil, err
	}
	ranges := make([]*corev1.LimitRange, 0, len(objs))
	for _, obj := range objs {
		if lr, ok := obj.(*corev1.LimitRange); ok {
			ranges = append(ranges, lr)
		}
	}
	return ranges, nil
}

// fillPod gives every container the defaults that it lacks, and notes which on the pod.
func fillPod(pod *corev1.Pod, lr *corev1.LimitRange) {
	limits, requests := corev1.ResourceList{}, corev1.ResourceList{}
	for _, item := range lr.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			setMissing(limits, item.Default)
			setMissing(requests, item.DefaultRequest)
		}
	}
	var notes []string
	for _, group := range []struct {
		word string
		all  []corev1.Container
	}{{"container", pod.Spec.Containers}, {"init container", pod.Spec.InitContainers}} {
		for i := range group.all {
			c := &group.all[i]
			for _, part := range []struct {
				word     string
				list     *corev1.ResourceList
				defaults corev1.ResourceList
			}{{"request", &c.Resources.Requests, requests}, {"limit", &c.Resources.Limits, limits}} {
				if *part.list == nil && len(part.defaults) > 0 {
					*part.list = corev1.ResourceList{}
				}
				if set := setMissing(*part.list, part.defaults); len(set) > 0 {
					notes = append(notes, fmt.Sprintf("%s %s for %s %s", strings.Join(set, ", "), part.word, group.word, c.Name))
				}
			}
		}
	}
	if len(notes) > 0 {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[limitRangerNote] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
	}
}

// setMissing copies the entries of defaults that list lacks, and returns their names.
func setMissing(list, defaults corev1.ResourceList) (set []string) {
	for name, q := range defaults {
		if _, there := list[name]; !there {
			list[name] = q.DeepCopy()
			set = append(set, string(name))
		}
	}
	slices.Sort(set)
	return set
}

func checkPodLimits(pod *corev1.Pod, lr *corev1.LimitRange) (errs []error) {
	for _, item := range lr.Spec.Limits {
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
				errs = append(errs, bounds{item, c.Resources.Requests, c.Resources.Limits}.check()...)
			}
		case corev1.LimitTypePod:
			errs = append(errs, bounds{item, api.PodRequests(pod), api.PodLimits(pod)}.check()...)
		}
	}
	return errs
}

func checkClaimLimits(claim *corev1.PersistentVolumeClaim, lr *corev1.LimitRange) (errs []error) {
	for _, item := range lr.Spec.Limits {
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		for _, name := range sortedNames(item.Min) {
			asked, least := claim.Spec.Resources.Requests[name], item.Min[name]
			if asked.Cmp(least) < 0 {
				errs = append(errs, fmt.Errorf("minimum %s usage per %s is %s, but request is %s", name, item.Type, least.String(), asked.String()))
			}
		}
		for _, name := range sortedNames(item.Max) {
			asked, most := claim.Spec.Resources.Requests[name], item.Max[name]
			if asked.Cmp(most) > 0 {
				errs = append(errs, fmt.Errorf("maximum %s usage per %s is %s, but request is %s", name, item.Type, most.String(), asked.String()))
			}
		}
	}
	return errs
}

// bounds holds requests and limits against one item of a LimitRange.
type bounds struct {
	item             corev1.LimitRangeItem
	requests, limits corev1.ResourceList
}

func (b bounds) check() (errs []error) {
	for _, name := range sortedNames(b.item.Min) {
		errs = append(errs, b.atLeast(name, b.item.Min[name]))
	}
	for _, name := range sortedNames(b.item.Max) {
		errs = append(errs, b.atMost(name, b.item.Max[name]))
	}
	for _, name := range sortedNames(b.item.MaxLimitRequestRatio) {
		errs = append(errs, b.ratio(name, b.item.MaxLimitRequestRatio[name]))
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

func (b bounds) atLeast(name corev1.ResourceName, least resource.Quantity) error {
	request, asked := b.requests[name]
	limit, limited := b.limits[name]
	what := fmt.Sprintf("minimum %s usage per %s is %s", name, b.item.Type, least.String())
	switch {
	case !asked:
		return fmt.Errorf("%s.  No request is specified", what)
	case request.Cmp(least) < 0:
		return fmt.Errorf("%s, but request is %s", what, request.String())
	case limited && limit.Cmp(least) < 0:
		return fmt.Errorf("%s, but limit is %s", what, limit.String())
	}
	return nil
}

func (b bounds) atMost(name corev1.ResourceName, most resource.Quantity) error {
	request, asked := b.requests[name]
	limit, limited := b.limits[name]
	what := fmt.Sprintf("maximum %s usage per %s is %s", name, b.item.Type, most.String())
	switch {
	case !limited:
		return fmt.Errorf("%s.  No limit is specified", what)
	case limit.Cmp(most) > 0:
		return fmt.Errorf("%s, but limit is %s", what, limit.String())
	case asked && request.Cmp(most) > 0:
		return fmt.Errorf("%s, but request is %s", what, request.String())
	}
	return nil
}

func (b bounds) ratio(name corev1.ResourceName, most resource.Quantity) error {
	request, limit := b.requests[name], b.limits[name]
	what := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, b.item.Type, most.String())
	switch {
	case request.IsZero():
		return fmt.Errorf("%s, but no request is specified or request is 0", what)
	case limit.IsZero():
		return fmt.Errorf("%s, but no limit is specified or limit is 0", what)
	}
	if is := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); is > most.AsApproximateFloat64() {
		return fmt.Errorf("%s, but provided ratio is %f", what, is)
	}
	return nil
}

func sortedNames(l corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(l))
	for name := range l {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
