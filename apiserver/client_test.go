package apiserver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) {
	leaktest.Main(m,
		// client-go's process-wide watch for rotated client certificates has no end.
		goleak.IgnoreAnyFunction("k8s.io/client-go/transport.(*dynamicClientCert).run"),
		// client-go's heartbeat of an exec session that was cut off goes on until its next beat.
		goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*heartbeat).start"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),  // kept alive by client-go's shared transports
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), // as above
		goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"),
	)
}

var mediaTypes = []string{"application/json", "application/vnd.kubernetes.protobuf"}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "miniorch/demo"}}},
	}
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("").Spec},
		},
	}
}

// TestVerbs walks an unmodified client through the verbs of kinds that differ in scope, group
// and strategy.
func TestVerbs(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	for _, media := range mediaTypes {
		t.Run(media, func(t *testing.T) {
			set := c.admin(media)
			ctx := t.Context()
			t.Run("pods", func(t *testing.T) {
				pods := set.CoreV1().Pods("default")
				made := must(pods.Create(ctx, pod("one"), metav1.CreateOptions{}))(t)
				if made.UID == "" || made.ResourceVersion == "" || made.Spec.RestartPolicy != corev1.RestartPolicyAlways || made.Status.Phase != corev1.PodPending {
					t.Errorf("metadata or defaults are missing: %+v", made)
				}
				got := must(pods.Get(ctx, "one", metav1.GetOptions{}))(t)
				if got.UID != made.UID || got.ResourceVersion != made.ResourceVersion {
					t.Error("reading does not return what was written")
				}
				patched := must(pods.Patch(ctx, "one", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{}))(t)
				if patched.Labels["x"] != "y" || patched.Labels["app"] != "one" {
					t.Errorf("labels after the patch: %v", patched.Labels)
				}
				got.Status.Phase = corev1.PodRunning
				if _, err := pods.UpdateStatus(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
					t.Errorf("an update with an old resourceVersion: %v, want a conflict", err)
				}
				patched.Status.Phase = corev1.PodRunning
				running := must(pods.UpdateStatus(ctx, patched, metav1.UpdateOptions{}))(t)
				if running.Status.Phase != corev1.PodRunning {
					t.Error("the status was not written")
				}
				list := must(pods.List(ctx, metav1.ListOptions{LabelSelector: "x=y"}))(t)
				if len(list.Items) != 1 || list.Items[0].UID != made.UID || list.ResourceVersion == "" {
					t.Errorf("listed %d pods at %q", len(list.Items), list.ResourceVersion)
				}
				if err := pods.Delete(ctx, "one", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
					t.Fatal(err)
				}
				if _, err := pods.Get(ctx, "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Errorf("after deletion: %v", err)
				}
			})
			t.Run("deployments", func(t *testing.T) {
				deployments := set.AppsV1().Deployments("default")
				made := must(deployments.Create(ctx, deployment("web"), metav1.CreateOptions{}))(t)
				scale := must(deployments.GetScale(ctx, "web", metav1.GetOptions{}))(t)
				if scale.Spec.Replicas != 2 || scale.UID != made.UID {
					t.Errorf("scale: %+v", scale)
				}
				scale.Spec.Replicas = 5
				scale = must(deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}))(t)
				if scale.Spec.Replicas != 5 {
					t.Errorf("scaled to %d", scale.Spec.Replicas)
				}
				patched := must(deployments.Patch(ctx, "web", types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/replicas","value":7}]`), metav1.PatchOptions{}))(t)
				if *patched.Spec.Replicas != 7 || patched.Generation <= made.Generation {
					t.Errorf("replicas %d, generation %d", *patched.Spec.Replicas, patched.Generation)
				}
				policy := metav1.DeletePropagationOrphan
				if err := deployments.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := deployments.Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: &policy}); !apierrors.IsNotFound(err) {
					t.Errorf("after DeleteCollection: %v", err)
				}
			})
			t.Run("leases", func(t *testing.T) {
				leases := set.CoordinationV1().Leases("kube-system")
				now := metav1.NowMicro()
				lease := must(leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{GenerateName: "l-"},
					Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("me"), RenewTime: &now}}, metav1.CreateOptions{}))(t)
				got := must(leases.Get(ctx, lease.Name, metav1.GetOptions{}))(t)
				if !got.Spec.RenewTime.Equal(&metav1.MicroTime{Time: now.Truncate(time.Microsecond)}) {
					t.Errorf("microseconds were lost: %v, want %v", got.Spec.RenewTime, now)
				}
			})
			t.Run("namespaces", func(t *testing.T) {
				name := fmt.Sprintf("ns%d", len(media))
				ns := must(set.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(t)
				ns.Spec.Finalizers = nil
				if err := set.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				ns = must(set.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}))(t)
				if ns.Status.Phase != corev1.NamespaceTerminating {
					t.Errorf("phase %q", ns.Status.Phase)
				}
				ns.Spec.Finalizers = nil
				if _, err := set.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{}); err != nil {
					t.Errorf("finalizing: %v", err)
				}
			})
		})
	}
}

// TestPagination: "limit" and "continue" of Kubernetes' API concepts, "Retrieving large results
// sets in chunks".
func TestPagination(t *testing.T) {
	c := startCluster(t)
	for _, media := range mediaTypes {
		t.Run(media, func(t *testing.T) {
			maps := c.admin(media).CoreV1().ConfigMaps("default")
			ctx := t.Context()
			for i := range 25 {
				must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%02d", i)}}, metav1.CreateOptions{}))(t)
			}
			seen := map[string]bool{}
			opts := metav1.ListOptions{Limit: 10}
			for page := 1; ; page++ {
				list := must(maps.List(ctx, opts))(t)
				for _, m := range list.Items {
					seen[m.Name] = true
				}
				if page == 1 {
					if list.RemainingItemCount == nil || *list.RemainingItemCount != 15 {
						t.Errorf("remaining: %v, want 15", list.RemainingItemCount)
					}
					must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m99"}}, metav1.CreateOptions{}))(t)
				}
				if list.Continue == "" {
					break
				}
				opts.Continue = list.Continue
			}
			if len(seen) != 25 || seen["m99"] {
				t.Errorf("saw %d maps, m99 %v: pages must show one moment", len(seen), seen["m99"])
			}
			if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	c := startCluster(t)
	for _, media := range mediaTypes {
		t.Run(media, func(t *testing.T) {
			maps := c.admin(media).CoreV1().ConfigMaps("default")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			old := must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, metav1.CreateOptions{}))(t)
			w := must(maps.Watch(ctx, metav1.ListOptions{SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true,
				ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}))(t)
			defer w.Stop()
			expect := func(kind watch.EventType, name string) *corev1.ConfigMap {
				t.Helper()
				e, ok := <-w.ResultChan()
				m, isMap := e.Object.(*corev1.ConfigMap)
				if !ok || e.Type != kind || !isMap || m.Name != name {
					t.Fatalf("got %v %+v, want %s %q", e.Type, e.Object, kind, name)
				}
				return m
			}
			expect(watch.Added, "old")
			if m := expect(watch.Bookmark, ""); m.Annotations[metav1.InitialEventsAnnotationKey] != "true" || m.ResourceVersion == "" {
				t.Errorf("the bookmark after the initial events: %+v", m)
			}
			made := must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}))(t)
			expect(watch.Added, "new")
			made.Data = map[string]string{"k": "v"}
			made = must(maps.Update(ctx, made, metav1.UpdateOptions{}))(t)
			if m := expect(watch.Modified, "new"); m.Data["k"] != "v" || m.ResourceVersion != made.ResourceVersion {
				t.Errorf("modified: %+v", m)
			}
			for _, name := range []string{"new", "old"} {
				if err := maps.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				expect(watch.Deleted, name)
			}
			again := must(maps.Watch(ctx, metav1.ListOptions{ResourceVersion: old.ResourceVersion, TimeoutSeconds: ptr.To[int64](1)}))(t)
			var kinds []watch.EventType
			for e := range again.ResultChan() {
				kinds = append(kinds, e.Type)
			}
			if len(kinds) != 4 {
				t.Errorf("a watch from the past saw %v and must end by its timeoutSeconds", kinds)
			}
		})
	}
}

func TestMetadataClient(t *testing.T) {
	c := startCluster(t)
	cfg := metadata.ConfigFor(c.as("admin", "system:masters"))
	md := must(metadata.NewForConfig(cfg))(t)
	ns := md.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	list := must(ns.List(t.Context(), metav1.ListOptions{}))(t)
	if len(list.Items) != 4 || list.Items[0].Name != "default" || list.Items[0].UID == "" {
		t.Errorf("got %+v", list.Items)
	}
	one := must(ns.Get(t.Context(), "kube-system", metav1.GetOptions{}))(t)
	if one.Name != "kube-system" {
		t.Errorf("got %+v", one)
	}
	w := must(ns.Watch(t.Context(), metav1.ListOptions{}))(t)
	defer w.Stop()
	if e := <-w.ResultChan(); e.Type != watch.Added || e.Object.(*metav1.PartialObjectMetadata).Name == "" {
		t.Errorf("watched %+v", e)
	}
}
