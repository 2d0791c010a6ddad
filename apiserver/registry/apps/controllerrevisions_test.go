package apps

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestControllerRevisions(t *testing.T) {
	revision := func(data string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{Revision: 1, Data: runtime.RawExtension{Raw: []byte(data)}}
	}
	for _, c := range []struct{ name, data, want string }{
		{"none", "", "data: Required value: data is mandatory"},
		{"null", " null", "data: Required value"},
		{"list", "[]", "data: Invalid value: \"[]\": must be a valid JSON object"},
		{"broken", "{", "data: Invalid value: \"{\": must be valid JSON"},
	} {
		t.Run(c.name, func(t *testing.T) { kindtest.WantErrors(t, validateControllerRevision(revision(c.data)), c.want) })
	}
	kindtest.WantErrors(t, validateControllerRevision(revision("{}")))
	kindtest.WantErrors(t, validateControllerRevisionUpdate(revision("{}"), revision("{}")))
	kindtest.WantErrors(t, validateControllerRevisionUpdate(revision(`{"a":1}`), revision("{}")), "data: Invalid value: \"\": field is immutable")
	owners := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n"}, {APIVersion: "apps/v1", Kind: "DaemonSet", Name: "d", Controller: ptr.To(true)}}
	if got := controllerOf(owners); got != "daemonset.apps/d" {
		t.Errorf("the controller is %q", got)
	}
}
