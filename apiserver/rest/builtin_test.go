package rest_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/registry"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/apiserver/warning"
)

// builtin runs a test against the cluster's own kinds: whether engine and descriptors fit.
func builtin(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(auth.WithUser(t.Context(), auth.Admin()))
		e := &engine{TB: t, ctx: ctx, store: memory.New(memory.Config{})}
		e.Registry = rest.New(e.store, registry.All(registry.Config{}), rest.Config{Logger: slog.New(slog.DiscardHandler)})
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		<-e.Ready()
		e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
		e.mustCreate("default", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
		test(t, e)
	})
}

func TestBuiltinNamespace(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		generated := e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "exam-"}}).(*corev1.Namespace)
		if generated.Labels[corev1.LabelMetadataName] != generated.Name || generated.Status.Phase != corev1.NamespaceActive {
			t.Errorf("namespace = %+v", generated)
		}
		if _, deleted, err := of[*corev1.Namespace](e).Delete(e.ctx, "", generated.Name, metav1.DeleteOptions{}); err != nil || deleted {
			t.Fatalf("deleted %v, %v", deleted, err)
		}
		if _, err := update(e, "", generated.Name, "finalize", func(ns *corev1.Namespace) { ns.Spec.Finalizers = nil }); err != nil {
			t.Fatal(err)
		}
		_, err := get[*corev1.Namespace](e, "", generated.Name)
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestBuiltinServiceChangesItsType(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		svc := e.mustCreate("default", &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
		}).(*corev1.Service)
		port := svc.Spec.Ports[0].NodePort
		if svc.Spec.ClusterIP == "" || port < 30000 {
			t.Fatalf("spec = %+v", svc.Spec)
		}
		sent := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		put := func() *corev1.Service {
			t.Helper()
			it, _, err := of[*corev1.Service](e).Update(e.ctx, "default", "web", "", rest.Replace(sent.DeepCopy()), rest.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return it.Object.(*corev1.Service)
		}
		if got := put(); got.ResourceVersion != svc.ResourceVersion {
			t.Errorf("sending the same manifest again wrote it: %+v", got.Spec)
		}
		sent.Spec.Type = corev1.ServiceTypeClusterIP
		if got := put(); got.Spec.ClusterIP != svc.Spec.ClusterIP || got.Spec.Ports[0].NodePort != 0 {
			t.Errorf("as ClusterIP = %+v", got.Spec)
		}
		e.mustCreate("default", &corev1.Service{ // the node port is free again
			ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "default"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: port}}},
		})
		sent.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
		if got := put(); got.Spec.ClusterIP != "" || len(got.Spec.ClusterIPs) != 0 {
			t.Errorf("as ExternalName = %+v", got.Spec)
		}
		e.mustCreate("default", &corev1.Service{ // and so is the address
			ObjectMeta: metav1.ObjectMeta{Name: "third", Namespace: "default"},
			Spec:       corev1.ServiceSpec{ClusterIP: svc.Spec.ClusterIP, Ports: []corev1.ServicePort{{Port: 80}}},
		})
	})
}

func TestBuiltinPod(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		ctx, warned := warning.With(e.ctx)
		e.ctx = ctx
		p := e.mustCreate("default", pod("p", "")).(*corev1.Pod)
		if p.Status.Phase != corev1.PodPending || p.Spec.RestartPolicy != corev1.RestartPolicyAlways || len(p.Spec.Volumes) != 1 {
			t.Errorf("pod = %+v", p)
		}
		if len(warned.Warnings()) != 0 {
			t.Errorf("a plain pod is warned about: %q", warned.Warnings())
		}
		_, err := update(e, "default", "p", "", func(p *corev1.Pod) { p.Spec.Containers[0].Name = "other" })
		wantReason(t, err, metav1.StatusReasonInvalid)
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}
		if _, err := of[*corev1.Pod](e).CreateSubresource(e.ctx, "default", "p", "binding", binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		running := []byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`)
		it, err := of[*corev1.Pod](e).Patch(e.ctx, "default", "p", "status", strategicPatch, running, metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		conditions := it.Object.(*corev1.Pod).Status.Conditions
		if !slices.ContainsFunc(conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled }) || len(conditions) != 2 {
			t.Errorf("conditions = %+v, want them merged by type", conditions)
		}
		it, deleted, err := of[*corev1.Pod](e).Delete(e.ctx, "default", "p", metav1.DeleteOptions{})
		if err != nil || deleted || *it.Object.GetDeletionGracePeriodSeconds() != 30 {
			t.Fatalf("deleted %v, %v", deleted, err)
		}
		e.deletePod("p")
		_, err = get[*corev1.Pod](e, "default", "p")
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

func TestBuiltinDeployment(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		labels := map[string]string{"app": "web"}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("", "").Spec},
		}}
		made := e.mustCreate("default", d.DeepCopy()).(*appsv1.Deployment)
		if made.Generation != 1 || *made.Spec.Replicas != 1 {
			t.Errorf("deployment = %+v", made)
		}
		it, _, err := of[*appsv1.Deployment](e).Update(e.ctx, "default", "web", "", rest.Replace(d.DeepCopy()), rest.UpdateOptions{})
		if err != nil || it.Object.GetResourceVersion() != made.ResourceVersion {
			t.Errorf("sending the same manifest again: %v, %v", it, err)
		}
		if _, err = of[*appsv1.Deployment](e).Patch(e.ctx, "default", "web", "scale", mergePatch, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := mustGet[*appsv1.Deployment](e, "default", "web"); *got.Spec.Replicas != 4 || got.Generation != 2 {
			t.Errorf("scaled = %d, generation %d", *got.Spec.Replicas, got.Generation)
		}
		_, err = of[*appsv1.Deployment](e).Patch(e.ctx, "default", "web", "scale", mergePatch, []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{})
		wantReason(t, err, metav1.StatusReasonInvalid)
	})
}

func TestBuiltinEvents(t *testing.T) {
	builtin(t, func(t *testing.T, e *engine) {
		e.mustCreate("default", &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: "e", Namespace: "default"},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"}, Reason: "Started", Message: "hello", Type: "Normal",
		})
		list, err := of[*eventsv1.Event](e).List(e.ctx, "default", metav1.ListOptions{FieldSelector: "reason=Started"})
		if err != nil || len(list.Items) != 1 || list.Items[0].Object.(*eventsv1.Event).Note != "hello" {
			t.Errorf("view = %v, %v", names(list), err)
		}
	})
}
