package volumebinding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// Unreserve breaks the promises of Reserve. What was written stays: the next attempt goes on
// from there.
func (p *Plugin) Unreserve(_ context.Context, cycle *framework.CycleState, _ *framework.PodInfo, _ string) {
	s := framework.Value[*state](cycle, name)
	if s == nil || s.plan == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range s.plan.bind {
		if p.taken[b.volume.Name] == key(b.claim) {
			delete(p.taken, b.volume.Name)
		}
		delete(p.promises, key(b.claim))
	}
	for _, c := range s.plan.provision {
		delete(p.promises, key(c))
	}
}

// Slow reports whether volumes have to be waited for.
func (p *Plugin) Slow(cycle *framework.CycleState, _ *framework.PodInfo, _ string) bool {
	s := framework.Value[*state](cycle, name)
	return s != nil && s.plan != nil
}

// PreBind gives the chosen volumes to their claims, tells provisioners the node, and waits until
// all claims are bound.
func (p *Plugin) PreBind(ctx context.Context, cycle *framework.CycleState, pod *framework.PodInfo, node string) *framework.Status {
	s := framework.Value[*state](cycle, name)
	if s == nil || s.plan == nil {
		return nil
	}
	changed := make(chan struct{}, 1)
	stop := p.wait(s.plan, changed)
	defer stop()
	for _, b := range s.plan.bind {
		if err := p.give(ctx, b); err != nil {
			return framework.Fail(err)
		}
	}
	told := make([]*corev1.PersistentVolumeClaim, len(s.plan.provision))
	for i, c := range s.plan.provision {
		var err error
		if told[i], err = p.selectNode(ctx, c, node); err != nil {
			return framework.Fail(err)
		}
	}
	timer := p.cfg.Clock.NewTimer(p.cfg.Patience)
	defer timer.Stop()
	for {
		open, st := p.openOf(s.plan.bind, told, node)
		if !st.OK() {
			return st
		}
		if len(open) == 0 {
			p.Unreserve(ctx, cycle, pod, node) // the claims say it all now
			return nil
		}
		select {
		case <-changed:
		case <-timer.C():
			return framework.Fail(fmt.Errorf("binding volumes: timed out waiting for %s to be bound", strings.Join(open, ", ")))
		case <-ctx.Done():
			return framework.Fail(ctx.Err())
		}
	}
}

// give writes the claim into the volume, unless that was done before; the binder does the rest.
func (p *Plugin) give(ctx context.Context, b binding) error {
	if claims.Holds(b.volume, b.claim) && b.volume.Spec.ClaimRef.UID != "" {
		return nil
	}
	v := b.volume.DeepCopy()
	byUser := v.Spec.ClaimRef != nil
	v.Spec.ClaimRef = &corev1.ObjectReference{
		Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: b.claim.Namespace, Name: b.claim.Name, UID: b.claim.UID, ResourceVersion: b.claim.ResourceVersion,
	}
	if !byUser {
		metav1.SetMetaDataAnnotation(&v.ObjectMeta, claims.BoundByController, "yes")
	}
	if _, err := p.volume.Update(ctx, v); err != nil {
		return fmt.Errorf("giving volume %q to claim %q: %w", v.Name, b.claim.Name, err)
	}
	return nil
}

// selectNode tells the provisioner where the volume is to be, and returns the claim as it was told.
func (p *Plugin) selectNode(ctx context.Context, c *corev1.PersistentVolumeClaim, node string) (*corev1.PersistentVolumeClaim, error) {
	if c.Annotations[claims.SelectedNode] == node {
		return c, nil
	}
	c = c.DeepCopy()
	metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.SelectedNode, node)
	stored, err := p.claim.Update(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("selecting the node for claim %q: %w", c.Name, err)
	}
	return stored, nil
}

// openOf lists the claims of a plan that are not bound yet. It fails when they will not be, on this
// node. told are the claims to be provisioned, as they were when their node was selected.
func (p *Plugin) openOf(bind []binding, told []*corev1.PersistentVolumeClaim, node string) (open []string, st *framework.Status) {
	n, ok := p.nodes.Get("", node)
	if !ok {
		return nil, framework.Fail(fmt.Errorf("node %q is gone", node))
	}
	all := slices.Clone(told)
	for _, b := range bind {
		all = append(all, b.claim)
	}
	for i, c := range all {
		done, err := p.isBound(c, n)
		if err == nil && !done && i < len(told) && p.givenBack(c, node) {
			err = fmt.Errorf("provisioning failed for PVC %q: the provisioner gave node %q back", c.Name, node)
		}
		if err != nil {
			return nil, framework.Fail(err)
		}
		if !done {
			open = append(open, c.Name)
		}
	}
	return open, nil
}

// givenBack reports whether the provisioner has taken the choice of the node off the claim since.
func (p *Plugin) givenBack(told *corev1.PersistentVolumeClaim, node string) bool {
	now, ok := p.claims.Get(told.Namespace, told.Name)
	if !ok || now.Annotations[claims.SelectedNode] == node {
		return false
	}
	seen, err1 := strconv.ParseUint(now.ResourceVersion, 10, 64)
	then, err2 := strconv.ParseUint(told.ResourceVersion, 10, 64)
	return err1 == nil && err2 == nil && seen > then
}

var errOtherClaim = errors.New("the claim was deleted and made anew")

// isBound reports whether a claim is bound to a volume that the node reaches.
func (p *Plugin) isBound(c *corev1.PersistentVolumeClaim, node *corev1.Node) (bool, error) {
	now, ok := p.claims.Get(c.Namespace, c.Name)
	switch {
	case !ok:
		return false, fmt.Errorf("persistentvolumeclaim %q not found", c.Name)
	case now.UID != c.UID:
		return false, fmt.Errorf("persistentvolumeclaim %q: %w", c.Name, errOtherClaim)
	case !claims.IsBound(now):
		return false, nil
	}
	v, ok := p.volumes.Get("", now.Spec.VolumeName)
	if !ok {
		return false, nil // our view of volumes is behind
	}
	if !claims.Reaches(v, node) {
		return false, fmt.Errorf("persistentvolume %q: node affinity doesn't match node %q", v.Name, node.Name)
	}
	return true, nil
}

// wait has changed told whenever one of the plan's claims changes, until stop is called.
func (p *Plugin) wait(plan *plan, changed chan<- struct{}) (stop func()) {
	keys := make([]string, 0, len(plan.bind)+len(plan.provision))
	for _, b := range plan.bind {
		keys = append(keys, key(b.claim))
	}
	for _, c := range plan.provision {
		keys = append(keys, key(c))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		if p.waiters[k] == nil {
			p.waiters[k] = map[chan<- struct{}]bool{}
		}
		p.waiters[k][changed] = true
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, k := range keys {
			if delete(p.waiters[k], changed); len(p.waiters[k]) == 0 {
				delete(p.waiters, k)
			}
		}
	}
}

// claimChanged and volumeChanged tell who waits for a claim.
func (p *Plugin) claimChanged(old, c *corev1.PersistentVolumeClaim) {
	if c == nil {
		c = old
	}
	p.wake(key(c))
}

func (p *Plugin) volumeChanged(_, v *corev1.PersistentVolume) {
	if v != nil && v.Spec.ClaimRef != nil {
		p.wake(v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name)
	}
}

func (p *Plugin) wake(claim string) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for w := range p.waiters[claim] {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Events reports what may help pods that were refused.
func (p *Plugin) Events(report func(framework.Event)) {
	handle(p.claims, "PersistentVolumeClaim", report)
	handle(p.volumes, "PersistentVolume", report)
	handle(p.classes, "StorageClass", report)
	handle(p.drivers, "CSIDriver", report)
	handle(p.capacities, "CSIStorageCapacity", report)
}

func handle[T api.Object](i *client.Informer[T], kind string, report func(framework.Event)) {
	var none T
	i.Handle(func(old, now T) {
		e := framework.Event{Kind: kind}
		if any(old) != any(none) {
			e.Old = old
		}
		if any(now) != any(none) {
			e.New = now
		}
		report(e)
	})
}

// Helps reports whether an event is about the pod's claims, or about what they could have.
func (p *Plugin) Helps(pod *framework.PodInfo, e framework.Event) bool {
	if e.New == nil {
		return false // what is gone helps nobody here
	}
	names := claims.Names(pod.Pod)
	class := func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			c, ok := p.claims.Get(pod.Pod.Namespace, n)
			return ok && claims.ClassOf(c) == name
		})
	}
	switch obj := e.New.(type) {
	case *corev1.PersistentVolumeClaim:
		return obj.Namespace == pod.Pod.Namespace && slices.Contains(names, obj.Name)
	case *corev1.PersistentVolume:
		return class(claims.ClassOfVolume(obj))
	case *storagev1.StorageClass:
		return class(obj.Name)
	case *storagev1.CSIStorageCapacity:
		return class(obj.StorageClassName)
	case *storagev1.CSIDriver:
		return true
	case *corev1.Node:
		return true // its labels, its annotations
	}
	return false
}
