package history

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

var kind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// owner is a set called "db" whose template is of the version, and that keeps one old revision.
func owner(version string) Owner {
	t := &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: version, Args: []string{"a<b"}}}},
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", UID: "u",
		Annotations: map[string]string{"kubernetes.io/change-cause": "why", corev1.LastAppliedConfigAnnotation: "{}"}}}
	return Owner{Object: set, Kind: kind, Template: t, Limit: 1, HashLabel: "hash"}
}

func none(*appsv1.ControllerRevision) bool { return false }

func TestDecide(t *testing.T) {
	made := func(version string, number int64) *appsv1.ControllerRevision {
		r := Decide(owner(version), nil, none).Update
		r.Revision, r.Name = number, version
		return r
	}
	cases := []struct {
		reason  string
		all     []*appsv1.ControllerRevision
		live    string
		version string
		want    string
	}{
		{"the first", nil, "", "v1", "create revision 1"},
		{"it is there", []*appsv1.ControllerRevision{made("v1", 1)}, "", "v1", ""},
		{"a new one", []*appsv1.ControllerRevision{made("v1", 1)}, "", "v2", "create revision 2"},
		{"back to an old one", []*appsv1.ControllerRevision{made("v1", 1), made("v2", 2)}, "", "v1", "make v1 revision 3"},
		{"beyond the limit the oldest goes", []*appsv1.ControllerRevision{made("v3", 3), made("v1", 1), made("v2", 2)}, "", "v3", "forget v1"},
		{"unless it is in use", []*appsv1.ControllerRevision{made("v1", 1), made("v2", 2), made("v3", 3)}, "v1", "v3", ""},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			p := Decide(owner(tc.version), tc.all, func(r *appsv1.ControllerRevision) bool { return r.Name == tc.live })
			if p.Create {
				p.Update.Name = ""
			}
			if got := strings.TrimSpace(p.String()); got != tc.want || p.Empty() != (tc.want == "") {
				t.Errorf("plan is %q, want %q", got, tc.want)
			}
		})
	}
}

// What others read of a revision: kubectl the patch, StatefulSets the template, users the annotations.
func TestNewRevision(t *testing.T) {
	o := owner("v1")
	r := Decide(o, nil, none).Update
	if got, want := string(r.Data.Raw), `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"args":["a\u003cb"],"image":"v1","name":"c","resources":{}}]}}}}`; got != want {
		t.Errorf("the data are\n%s, want\n%s", got, want)
	}
	back, err := Template(r)
	if err != nil || !equality.Semantic.DeepEqual(back, o.Template) {
		t.Errorf("the template comes back as %v (%v)", back, err)
	}
	if got := fmt.Sprint(r.Annotations); got != "map[kubernetes.io/change-cause:why]" {
		t.Errorf("annotations are %s", got)
	}
	if r.Labels["app"] != "db" || r.Name != "db-"+r.Labels["hash"] || !metav1.IsControlledBy(r, o.Object) {
		t.Errorf("it is called %s, labelled %v, owned by %v", r.Name, r.Labels, r.OwnerReferences)
	}
	o.Collisions = ptr.To[int32](1)
	if other := Decide(o, nil, none).Update; other.Name == r.Name {
		t.Error("after a collision the name is the same")
	}
}

func TestOtherWordsAreTheSame(t *testing.T) {
	if !sameData([]byte(`{"a":1,"b":2}`), []byte(`{ "b": 2, "a": 1 }`)) || sameData([]byte(`{"a":1}`), []byte(`{"a":2}`)) || sameData([]byte(`{`), []byte(`[`)) {
		t.Error("data are compared by their bytes only, or not at all")
	}
}

func TestKeep(t *testing.T) {
	revisions := client.Of[*appsv1.ControllerRevision](clienttest.NewServer(t))
	o := owner("v1")
	first := Decide(o, nil, none)
	for _, reason := range []string{"it is made", "it is there already, and nobody has seen that"} {
		if err := Keep(t.Context(), revisions, o, first); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	taken := Decide(owner("v2"), nil, none)
	taken.Update.Name = first.Update.Name
	if err := Keep(t.Context(), revisions, o, taken); !errors.Is(err, ErrCollision) {
		t.Errorf("a name that is taken: %v", err)
	}
	stored, err := revisions.Get(t.Context(), "default", first.Update.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := Forget(t.Context(), revisions, Plan{Delete: []*appsv1.ControllerRevision{stored}}); err != nil {
		t.Error(err)
	}
	if err := Forget(t.Context(), revisions, Plan{Delete: []*appsv1.ControllerRevision{stored}}); err != nil {
		t.Errorf("what is gone: %v", err)
	}
}
