package rollout

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

func world(progress string) (*fake.Clientset, *appsv1.Deployment) {
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "d", Annotations: map[string]string{api.AnnotationRevision: "7", api.AnnotationStrategy: "canary"}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status:     appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{Type: api.ConditionRollout, Reason: "Paused", Message: "step 2 of 3"}}},
	}
	set := func(name, revision, progress string) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, Labels: labels, OwnerReferences: []metav1.OwnerReference{{UID: "d", Controller: ptr.To(true)}},
			Annotations: map[string]string{api.AnnotationRevision: revision, api.AnnotationProgress: progress, api.AnnotationStory: name + "'s story\n"},
		}}
	}
	return fake.NewClientset(d, set("old", "6", `{"step":9}`), set("new", "7", progress)), d
}

func annotation(t *testing.T, c *fake.Clientset, key string) string {
	t.Helper()
	d, err := c.AppsV1().Deployments("ns").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Annotations[key]
}

func TestPromote(t *testing.T) {
	c, d := world(`{"step":1}`)
	if line, err := doPromote(t.Context(), c, d, false); err != nil || !strings.Contains(line, "revision 7, step 2") || annotation(t, c, api.AnnotationPromote) != "7/2" {
		t.Errorf("%s, %v, %s", line, err, annotation(t, c, api.AnnotationPromote))
	}
	if _, err := doPromote(t.Context(), c, d, true); err != nil || annotation(t, c, api.AnnotationPromote) != "7/all" {
		t.Errorf("%v, %s", err, annotation(t, c, api.AnnotationPromote))
	}
	d.Generation = 5 // the controller has not seen it
	if _, err := doPromote(t.Context(), c, d, true); err == nil {
		t.Error("promoted a revision that is perhaps not the newest")
	}
}

func TestAbort(t *testing.T) {
	c, d := world(`{"step":1}`)
	if _, err := doAbort(t.Context(), c, d); err != nil || annotation(t, c, api.AnnotationAbort) != "7" {
		t.Errorf("%v, %s", err, annotation(t, c, api.AnnotationAbort))
	}
	c, d = world(`{"step":2,"done":true}`)
	if _, err := doAbort(t.Context(), c, d); err == nil {
		t.Error("aborted what is finished")
	}
}

func TestStory(t *testing.T) {
	c, d := world("")
	if text, err := tell(t.Context(), c, d); err != nil || text != "Paused: step 2 of 3\nnew's story\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDeploymentName(t *testing.T) {
	for arg, want := range map[string]string{"web": "web", "deploy/web": "web", "deployment.apps/web": "web", "pod/web": "", "deployment/": ""} {
		if got, err := deploymentName(arg); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", arg, got, err)
		}
	}
}
