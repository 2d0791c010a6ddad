package controllers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/polymorphichelpers"

	"github.com/miniorch/miniorch/controllers/controllertest"
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
		clientset, err := kubernetes.NewForConfig(&rest.Config{Host: "http://server", BearerToken: controllertest.AdminToken, Transport: direct{w.Handler}})
		if err != nil {
			t.Fatal(err)
		}
		k := kubectl{w, clientset}
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

type kubectl struct {
	*world
	clientset kubernetes.Interface
}

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind()

func (k kubectl) expect(got, want string) {
	k.Helper()
	if got = strings.TrimSpace(got); got != want {
		k.Errorf("kubectl says %q, want %q", got, want)
	}
}

func (k kubectl) read() *appsv1.Deployment {
	k.Helper()
	d, err := k.clientset.AppsV1().Deployments("default").Get(k.Context(), "web", metav1.GetOptions{})
	if err != nil {
		k.Fatal(err)
	}
	return d
}

func (k kubectl) status() string {
	k.Helper()
	viewer, err := polymorphichelpers.StatusViewerFor(deploymentKind)
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
	viewer, err := polymorphichelpers.HistoryViewerFor(deploymentKind, k.clientset)
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
	rollbacker, err := polymorphichelpers.RollbackerFor(deploymentKind, k.clientset)
	if err != nil {
		k.Fatal(err)
	}
	said, err := rollbacker.Rollback(k.read(), nil, revision, cmdutil.DryRunNone)
	if err != nil {
		k.Fatal(err)
	}
	return said
}
