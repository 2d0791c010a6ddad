package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	workloadNodes    = 100
	deploymentSize   = 1_000
	statefulSets     = 100
	statefulSize     = 10
	jobCompletions   = 5_000
	jobParallelism   = 1_000
	manyObjects      = 10_000
	workloadPatience = 5 * time.Minute
)

// workloads measures controllers: how long it takes until what they are asked for is reported,
// by way of the scheduler and of simulated nodes on which everything starts at once.
func (b *bench) workloads(ctx context.Context) error {
	m, err := b.startMaster(ctx, b.dir+"/workloads")
	if err != nil {
		return err
	}
	defer m.stop()
	nodes, err := start(filepath.Join(b.dir, "workloads.log"), filepath.Join(b.bin, "miniorch-node"),
		fmt.Sprintf("--hollow=%d", workloadNodes), "--kubeconfig", m.kubeconfig())
	if err != nil {
		return err
	}
	defer nodes.stop()
	if _, err := waitNodes(ctx, m, nodes.began, workloadNodes); err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return err
	}
	defer b.profile(m, "workloads")()
	ctx, cancel := context.WithTimeout(ctx, workloadPatience)
	defer cancel()
	w := workbench{bench: b, clients: clients, ns: "workloads"}
	if _, err := newNamespace(ctx, clients, w.ns); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{w.deployment, w.statefulSets, w.job, w.dependents, w.namespace} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// workbench is where workloads are made.
type workbench struct {
	*bench
	clients kubernetes.Interface
	ns      string
}

// template is that of pods which run, or of such that end at once.
func template(app string, command ...string) corev1.PodTemplateSpec {
	p := somePod("")
	p.Spec.Containers[0].Command = command
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Spec: p.Spec}
}

func selects(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// deployment goes up, rolls, and goes down.
func (w workbench) deployment(ctx context.Context) error {
	api := w.clients.AppsV1().Deployments(w.ns)
	edit := func(change func(*appsv1.DeploymentSpec)) error {
		d, err := api.Get(ctx, "d", metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(&d.Spec)
		_, err = api.Update(ctx, d, metav1.UpdateOptions{})
		return err
	}
	var took []time.Duration
	for _, step := range []struct {
		do   func() error
		size int32
	}{
		{func() error {
			_, err := api.Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To[int32](deploymentSize), Selector: selects("d"), Template: template("d", "sleep", "3600"),
			}}, metav1.CreateOptions{})
			return err
		}, deploymentSize},
		{func() error {
			return edit(func(s *appsv1.DeploymentSpec) { s.Template.Spec.Containers[0].Command = []string{"sleep", "7200"} })
		}, deploymentSize},
		{func() error { return edit(func(s *appsv1.DeploymentSpec) { s.Replicas = new(int32) }) }, 0},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return err
		}
		watcher, err := api.Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if err := seen(watcher, func(obj runtime.Object) bool {
			d := obj.(*appsv1.Deployment)
			s := d.Status
			return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == step.size && s.AvailableReplicas == step.size &&
				s.Replicas == step.size && ptr.Deref(s.TerminatingReplicas, 0) == 0
		}); err != nil {
			return fmt.Errorf("the deployment of %d: %w", step.size, err)
		}
		if step.size == 0 {
			if err := w.gone(ctx, "app=d"); err != nil {
				return err
			}
		}
		took = append(took, time.Since(began))
	}
	w.add(row{what: fmt.Sprintf("Deployment 0 → %d → 0 pods on %d simulated nodes: up, down", deploymentSize, workloadNodes), measured: ms(took[0]) + ", " + ms(took[2])})
	w.add(row{what: fmt.Sprintf("… rolling update of the %d, default limits", deploymentSize), measured: ms(took[1])})
	return nil
}

// gone returns when no selected pod is left.
func (w workbench) gone(ctx context.Context, labels string) error {
	return poll(ctx, func() (bool, error) {
		list, err := w.clients.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{LabelSelector: labels, Limit: 1})
		return err == nil && len(list.Items) == 0, err
	})
}

// statefulSets makes many of them at once; each makes its pods one after the other.
func (w workbench) statefulSets(ctx context.Context) error {
	api := w.clients.AppsV1().StatefulSets(w.ns)
	watcher, err := api.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range statefulSets {
		name := fmt.Sprint("s", i)
		if _, err := api.Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](statefulSize), ServiceName: "s", Selector: selects(name), Template: template(name, "sleep", "3600"),
		}}, metav1.CreateOptions{}); err != nil {
			watcher.Stop()
			return err
		}
	}
	ready := map[string]bool{}
	if err := seen(watcher, func(obj runtime.Object) bool {
		if s := obj.(*appsv1.StatefulSet); s.Status.AvailableReplicas == statefulSize {
			ready[s.Name] = true
		}
		return len(ready) == statefulSets
	}); err != nil {
		return fmt.Errorf("%d of %d sets are ready: %w", len(ready), statefulSets, err)
	}
	w.add(row{what: fmt.Sprintf("%d StatefulSets × %d, in order: all pods available", statefulSets, statefulSize), measured: ms(time.Since(began))})
	return api.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}, metav1.ListOptions{})
}

// job runs pods that end at once.
func (w workbench) job(ctx context.Context) error {
	api := w.clients.BatchV1().Jobs(w.ns)
	watcher, err := api.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	began := time.Now()
	t := template("j", "true")
	t.Spec.RestartPolicy = corev1.RestartPolicyNever
	if _, err := api.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j"}, Spec: batchv1.JobSpec{
		Completions: ptr.To[int32](jobCompletions), Parallelism: ptr.To[int32](jobParallelism), Template: t,
	}}, metav1.CreateOptions{}); err != nil {
		watcher.Stop()
		return err
	}
	done := int32(0)
	if err := seen(watcher, func(obj runtime.Object) bool {
		j := obj.(*batchv1.Job)
		done = j.Status.Succeeded
		return j.Status.CompletionTime != nil
	}); err != nil {
		return fmt.Errorf("%d of %d pods are counted: %w", done, jobCompletions, err)
	}
	w.add(row{what: fmt.Sprintf("Job of %d completions, %d at a time: complete", jobCompletions, jobParallelism), measured: ms(time.Since(began))})
	return nil
}

// fill makes many objects in a namespace, owned by somebody or not.
func (w workbench) fill(ctx context.Context, ns string, owners ...metav1.OwnerReference) error {
	group, ctx := errgroup.WithContext(ctx)
	for writer := range writers {
		group.Go(func() error {
			for i := writer; i < manyObjects; i += writers {
				m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i), OwnerReferences: owners}}
				if _, err := w.clients.CoreV1().ConfigMaps(ns).Create(ctx, m, metav1.CreateOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// poll returns when something is so.
func poll(ctx context.Context, is func() (bool, error)) error {
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dependents deletes an owner of many objects.
func (w workbench) dependents(ctx context.Context) error {
	api := w.clients.CoreV1().ConfigMaps(w.ns)
	owner, err := api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := w.fill(ctx, w.ns, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}); err != nil {
		return err
	}
	began := time.Now()
	if err := api.Delete(ctx, owner.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := poll(ctx, func() (bool, error) {
		left, err := api.List(ctx, metav1.ListOptions{Limit: 2})
		return err == nil && len(left.Items) <= 1, err // the CA's is there
	}); err != nil {
		return fmt.Errorf("collecting %d dependents: %w", manyObjects, err)
	}
	w.add(row{what: fmt.Sprintf("owner of %d objects deleted: all collected", manyObjects), measured: ms(time.Since(began))})
	return nil
}

// namespace deletes one with many objects.
func (w workbench) namespace(ctx context.Context) error {
	const ns = "full"
	if _, err := newNamespace(ctx, w.clients, ns); err != nil {
		return err
	}
	if err := w.fill(ctx, ns); err != nil {
		return err
	}
	began := time.Now()
	api := w.clients.CoreV1().Namespaces()
	if err := api.Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := poll(ctx, func() (bool, error) {
		_, err := api.Get(ctx, ns, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	}); err != nil {
		return fmt.Errorf("emptying the namespace: %w", err)
	}
	w.add(row{what: fmt.Sprintf("namespace with %d objects deleted: gone", manyObjects), measured: ms(time.Since(began))})
	return nil
}

// seen returns when a watch has shown what was waited for.
func seen(w watch.Interface, wanted func(runtime.Object) bool) error {
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return fmt.Errorf("the watch failed: %v", e.Object)
		}
		if e.Type != watch.Deleted && wanted(e.Object) {
			return nil
		}
	}
	return fmt.Errorf("the watch ended before it showed what was waited for")
}
