// Package horizontalpodautoscaler changes how many replicas a workload has, so that what is
// measured of it comes near to what its HorizontalPodAutoscaler wants. It measures nothing
// itself: it reads metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.
package horizontalpodautoscaler

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// defaultPeriod is how often each target is looked at, if nobody says.
const defaultPeriod = 15 * time.Second

// Config tunes the controller.
type Config struct {
	control.Config
	// Period is how often each target is looked at. Default 15s.
	Period time.Duration
}

// Controller reconciles HorizontalPodAutoscalers.
type Controller struct {
	cfg         Config
	transport   client.Transport
	metrics     Metrics
	autoscalers *client.Informer[*autoscalingv2.HorizontalPodAutoscaler]
	pods        *client.Informer[*corev1.Pod]
	autoscaler  client.Client[*autoscalingv2.HorizontalPodAutoscaler]
	loop        *reconcile.Loop

	mu     sync.Mutex
	memory map[reconcile.Key]memory    // guarded by mu
	due    map[reconcile.Key]time.Time // guarded by mu: when each is to be looked at again
}

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg Config) *Controller {
	cfg.Config, cfg.Period = cfg.Config.WithDefaults("horizontalpodautoscaler"), cmp.Or(cfg.Period, defaultPeriod)
	c := &Controller{
		cfg: cfg, transport: t, metrics: apiMetrics{t},
		autoscalers: client.InformerFor[*autoscalingv2.HorizontalPodAutoscaler](informers),
		pods:        client.InformerFor[*corev1.Pod](informers),
		autoscaler:  client.Of[*autoscalingv2.HorizontalPodAutoscaler](t),
		memory:      map[reconcile.Key]memory{}, due: map[reconcile.Key]time.Time{},
	}
	c.loop = reconcile.New("horizontalpodautoscaler", c, cfg.Loop(4))
	c.autoscalers.Handle(c.changed)
	return c
}

// Run reconciles until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// changed looks at an autoscaler when somebody wrote it, not when we said something about it.
func (c *Controller) changed(old, a *autoscalingv2.HorizontalPodAutoscaler) {
	if old != nil && (a == nil || a.UID != old.UID) {
		c.mu.Lock()
		delete(c.memory, keyOf(old))
		delete(c.due, keyOf(old))
		c.mu.Unlock()
	}
	if a == nil || old != nil && equality.Semantic.DeepEqual(old.Spec, a.Spec) {
		return
	}
	c.mu.Lock()
	delete(c.due, keyOf(a))
	c.mu.Unlock()
	c.loop.Enqueue(keyOf(a))
}

func keyOf(a *autoscalingv2.HorizontalPodAutoscaler) reconcile.Key {
	return reconcile.Key{Namespace: a.Namespace, Name: a.Name}
}

// wait returns how long the key is not due yet; if it is, the next time is a Period from now. It
// keeps retries of a failed write from being more looks at the metrics.
func (c *Controller) wait(key reconcile.Key, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.due[key].Sub(now); left > 0 {
		return left
	}
	c.due[key] = now.Add(c.cfg.Period)
	return 0
}

// Reconcile looks at one target.
func (c *Controller) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	a, ok := c.autoscalers.Get(key.Namespace, key.Name)
	if !ok || a.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	now := c.cfg.Clock.Now()
	if left := c.wait(key, now); left > 0 {
		return reconcile.Result{After: left}, nil
	}
	t, err := c.target(ctx, a)
	if err != nil {
		if ctx.Err() != nil {
			return reconcile.Result{}, ctx.Err()
		}
		c.cfg.Eventf(a, corev1.EventTypeWarning, "FailedGetScale", "%v", err)
		status := a.Status.DeepCopy()
		conditions{&status.Conditions, now}.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the HPA controller was unable to get the target's current scale: %v", err)
		return reconcile.Result{After: c.cfg.Period}, c.writeStatus(ctx, a, *status)
	}
	plan, err := c.plan(ctx, a, t, now)
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{After: c.cfg.Period}, c.apply(ctx, a, t, plan, now)
}

// plan measures and decides.
func (c *Controller) plan(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler, t target, now time.Time) (Plan, error) {
	c.mu.Lock()
	o := observed{Autoscaler: a, Replicas: t.scale.Spec.Replicas, Memory: c.memory[keyOf(a)], Now: now}
	c.mu.Unlock()
	a = a.DeepCopy()
	conditions{&a.Status.Conditions, now}.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	o.Autoscaler = a
	if measures(a, o.Replicas) {
		o.Metrics = c.measureAll(ctx, a, t, now)
	}
	return decide(o), ctx.Err()
}

func (c *Controller) measureAll(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler, t target, now time.Time) []outcome {
	selector, problem := c.selector(a, t)
	if problem != nil {
		return []outcome{*problem}
	}
	up, down := bothRules(a)
	m := measurer{
		Metrics: c.metrics, ns: a.Namespace, selector: selector, resource: c.resource,
		load: load{Current: t.scale.Spec.Replicas, Pods: c.pods.List(a.Namespace, selector), Tolerance: tolerance{down.tolerance, up.tolerance}, Now: now},
	}
	var all []outcome
	for _, spec := range a.Spec.Metrics {
		all = append(all, m.measure(ctx, spec))
	}
	return all
}

// selector returns which pods are the target's; what nobody can tell apart is not scaled.
func (c *Controller) selector(a *autoscalingv2.HorizontalPodAutoscaler, t target) (labels.Selector, *outcome) {
	invalid := func(reason, format string, args ...any) *outcome {
		return &outcome{Reason: reason, Err: fmt.Errorf(format, args...)}
	}
	if t.scale.Status.Selector == "" {
		return nil, invalid("InvalidSelector", "the HPA target's scale is missing a selector")
	}
	selector, err := labels.Parse(t.scale.Status.Selector)
	if err != nil {
		return nil, invalid("InvalidSelector", "couldn't convert selector into a corresponding internal selector object: %w", err)
	}
	for _, other := range c.autoscalers.List(a.Namespace, nil) {
		if other.UID != a.UID && sameTarget(other.Spec.ScaleTargetRef, a.Spec.ScaleTargetRef) {
			return nil, invalid("AmbiguousSelector", "pods by selector %v are controlled by multiple HPAs: %s and %s", selector, min(a.Name, other.Name), max(a.Name, other.Name))
		}
	}
	return selector, nil
}

func sameTarget(a, b autoscalingv2.CrossVersionObjectReference) bool {
	return a.Name == b.Name && schema.FromAPIVersionAndKind(a.APIVersion, a.Kind).GroupKind() == schema.FromAPIVersionAndKind(b.APIVersion, b.Kind).GroupKind()
}

// target is what is scaled.
type target struct {
	resource api.Resource
	scale    *autoscalingv1.Scale
}

// target reads the scale of what the autoscaler refers to.
func (c *Controller) target(ctx context.Context, a *autoscalingv2.HorizontalPodAutoscaler) (target, error) {
	ref := a.Spec.ScaleTargetRef
	r, err := c.find(ctx, ref)
	if err != nil {
		return target{}, err
	}
	obj, err := c.transport.Get(ctx, client.Request{Resource: r, Namespace: a.Namespace, Name: ref.Name, Subresource: "scale"}, metav1.GetOptions{})
	if err != nil {
		return target{}, err
	}
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return target{}, fmt.Errorf("the scale of %s %q is a %T", ref.Kind, ref.Name, obj)
	}
	return target{r, scale}, nil
}

// find tells where a kind is served, whatever version is named.
func (c *Controller) find(ctx context.Context, ref autoscalingv2.CrossVersionObjectReference) (api.Resource, error) {
	all, err := c.transport.Resources(ctx)
	if err != nil {
		return api.Resource{}, fmt.Errorf("reading which resources are served: %w", err)
	}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	for _, r := range all {
		if r.GVK().GroupKind() == kind {
			return r, nil
		}
	}
	return api.Resource{}, fmt.Errorf("no matches for kind %q in group %q", kind.Kind, kind.Group)
}

func (c *Controller) resource(ctx context.Context, ref autoscalingv2.CrossVersionObjectReference) (schema.GroupResource, error) {
	r, err := c.find(ctx, ref)
	return r.GroupResource(), err
}
