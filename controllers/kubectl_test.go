package controllers

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// direct serves requests by calling a handler: HTTP without a network, which virtual time needs.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// The code of kubectl itself reads and turns back what the controllers write.
func TestKubectlRollout(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		k := kubectlFor[*appsv1.Deployment](w)
		d := webDeployment(3, "v1")
		d.Annotations = map[string]string{"kubernetes.io/change-cause": "the first"}
		create(w, d)
		w.Tick(3 * time.Second)
		k.expect(k.status(), `deployment "web" successfully rolled out`)

		edit(w, "default", "web", func(d *appsv1.Deployment) {
			d.Annotations["kubernetes.io/change-cause"] = "the second"
			setImage("v2")(d)
		})
		w.Tick(500 * time.Millisecond)
		k.expect(k.status(), `Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...`)
		w.Tick(10 * time.Second)
		k.expect(k.status(), `deployment "web" successfully rolled out`)
		k.expect(k.history(0), "REVISION  CHANGE-CAUSE\n1         the first\n2         the second")
		if got := k.history(1); !strings.Contains(got, "Image:\tv1") {
			t.Errorf("revision 1 is described as\n%s", got)
		}

		k.expect(k.undo(0), "rolled back")
		w.Tick(10 * time.Second)
		k.expect(k.history(0), "REVISION  CHANGE-CAUSE\n2         the second\n3         the first")
		k.expect(k.undo(3), "skipped rollback (current template already matches revision 3)")
		k.expect(k.undo(2), "rolled back")
		w.Tick(10 * time.Second)
		for _, p := range list[*corev1.Pod](w, "default", "app=web") {
			if image := p.Spec.Containers[0].Image; image != "v2" {
				t.Errorf("after two rollbacks a pod runs %s", image)
			}
		}
	})
}

// The same of StatefulSets, whose history is in ControllerRevisions.
func TestKubectlRolloutOfStatefulSets(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		k := kubectlFor[*appsv1.StatefulSet](w)
		s := webStateful(3, "v1", func(s *appsv1.StatefulSetSpec) { s.VolumeClaimTemplates = nil })
		s.Annotations = map[string]string{"kubernetes.io/change-cause": "the first"}
		create(w, s)
		w.Tick(2 * time.Second)
		k.expect(k.status(), "Waiting for 1 pods to be ready...")
		w.Tick(10 * time.Second)
		k.expect(k.status(), "partitioned roll out complete: 3 new pods have been updated...")
		edit(w, "default", "web", func(s *appsv1.StatefulSet) {
			s.Annotations["kubernetes.io/change-cause"] = "the second"
			s.Spec.Template.Spec.Containers[0].Image = "v2"
		})
		w.Tick(20 * time.Second)
		k.expect(k.history(0), "REVISION  CHANGE-CAUSE\n1         the first\n2         the second")
		if got := k.history(1); !strings.Contains(got, "Image:\tv1") {
			t.Errorf("revision 1 is described as\n%s", got)
		}
		k.expect(k.undo(0), "rolled back")
		w.Tick(20 * time.Second)
		k.expect(k.history(0), "REVISION  CHANGE-CAUSE\n2         the second\n3         the first")
		k.expect(k.undo(3), "skipped rollback (current template already matches revision 3)")
		k.expectImages("v1")
	})
}

// And of DaemonSets.
func TestKubectlRolloutOfDaemonSets(t *testing.T) {
	inWorld(t, 3, nil, func(w *world) {
		k := kubectlFor[*appsv1.DaemonSet](w)
		create(w, webDaemon("v1", 1, 0))
		w.Tick(5 * time.Second)
		k.expect(k.status(), `daemon set "web" successfully rolled out`)
		edit(w, "default", "web", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Image = "v2" })
		w.Tick(500 * time.Millisecond)
		k.expect(k.status(), `Waiting for daemon set "web" rollout to finish: 0 out of 3 new pods have been updated...`)
		w.Tick(20 * time.Second)
		k.expect(k.history(0), "REVISION  CHANGE-CAUSE\n1         <none>\n2         <none>")
		if got := k.history(2); !strings.Contains(got, "Image:\tv2") {
			t.Errorf("revision 2 is described as\n%s", got)
		}
		k.expect(k.undo(1), "rolled back")
		w.Tick(20 * time.Second)
		k.expect(k.undo(3), "skipped rollback (current template already matches revision 3)")
		k.expectImages("v1")
	})
}

func (k kubectl) expectImages(want string) {
	k.Helper()
	for _, p := range list[*corev1.Pod](k.world, "default", "app=web") {
		if image := p.Spec.Containers[0].Image; image != want {
			k.Errorf("pod %s runs %s, want %s", p.Name, image, want)
		}
	}
}

// Conformance "ControllerRevision, resource lifecycle".
func TestControllerRevisionLifecycle(t *testing.T) {
	inWorld(t, 2, nil, func(w *world) {
		create(w, webDaemon("v1", 1, 0))
		w.Tick(5 * time.Second)
		revisions := func(want int) []*appsv1.ControllerRevision {
			t.Helper()
			w.Tick(2 * time.Second)
			all := list[*appsv1.ControllerRevision](w, "default", "app=web")
			if len(all) != want {
				t.Errorf("there are %d revisions, want %d", len(all), want)
			}
			return all
		}
		var before []types.UID
		for _, p := range list[*corev1.Pod](w, "default", "app=web") {
			before = append(before, p.UID)
		}
		first := revisions(1)[0]
		second := first.DeepCopy()
		second.ObjectMeta = metav1.ObjectMeta{Namespace: "default", Name: "web-other", OwnerReferences: first.OwnerReferences,
			Labels: map[string]string{"app": "web", appsv1.DefaultDaemonSetUniqueLabelKey: "other"}}
		second.Revision = 2
		create(w, second)
		revisions(2)
		remove[*appsv1.ControllerRevision](w, "default", first.Name, metav1.DeletePropagationBackground)
		revisions(1)
		edit(w, "default", "web-other", func(r *appsv1.ControllerRevision) { r.Labels["web-other"] = "updated" })
		for _, p := range list[*corev1.Pod](w, "default", "app=web") {
			if !slices.Contains(before, p.UID) {
				t.Errorf("pod %s was made anew for a revision that says the same", p.Name)
			}
		}
		edit(w, "default", "web", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1) })
		revisions(2)
		err := client.Of[*appsv1.ControllerRevision](w.Admin).Delete(t.Context(), "default", "web-other", metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
		if got := revisions(1)[0].Revision; got != 3 {
			t.Errorf("the revision is number %d, want 3", got)
		}
	})
}

// kubectl's code for one kind of object called "web".
type kubectl struct {
	*world
	clientset kubernetes.Interface
	kind      schema.GroupKind
	read      func() runtime.Object
}

// kubectlFor returns kubectl's code for objects of type T.
func kubectlFor[T api.Object](w *world) kubectl {
	w.Helper()
	clientset, err := kubernetes.NewForConfig(&rest.Config{Host: "http://server", BearerToken: controllertest.AdminToken, Transport: direct{w.Handler}})
	if err != nil {
		w.Fatal(err)
	}
	kind := api.ResourceFor[T]().GVK()
	return kubectl{w, clientset, kind.GroupKind(), func() runtime.Object {
		obj := get[T](w, "default", "web").DeepCopyObject()
		obj.GetObjectKind().SetGroupVersionKind(kind)
		return obj
	}}
}

func (k kubectl) expect(got, want string) {
	k.Helper()
	if got = strings.TrimSpace(got); got != want {
		k.Errorf("kubectl says %q, want %q", got, want)
	}
}

func (k kubectl) status() string {
	k.Helper()
	viewer, err := polymorphichelpers.StatusViewerFor(k.kind)
	if err != nil {
		k.Fatal(err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(k.read())
	if err != nil {
		k.Fatal(err)
	}
	said, _, err := viewer.Status(&unstructured.Unstructured{Object: content}, 0)
	if err != nil {
		return err.Error()
	}
	return said
}

func (k kubectl) history(revision int64) string {
	k.Helper()
	viewer, err := polymorphichelpers.HistoryViewerFor(k.kind, k.clientset)
	if err != nil {
		k.Fatal(err)
	}
	said, err := viewer.ViewHistory("default", "web", revision)
	if err != nil {
		k.Fatal(err)
	}
	return said
}

func (k kubectl) undo(revision int64) string {
	k.Helper()
	rollbacker, err := polymorphichelpers.RollbackerFor(k.kind, k.clientset)
	if err != nil {
		k.Fatal(err)
	}
	said, err := rollbacker.Rollback(k.read(), nil, revision, cmdutil.DryRunNone)
	if err != nil {
		k.Fatal(err)
	}
	return said
}
