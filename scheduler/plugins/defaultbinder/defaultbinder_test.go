package defaultbinder

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

func TestBind(t *testing.T) {
	server := clienttest.NewServer(t, sample.Pod("p"))
	info := framework.NewPodInfo(sample.Pod("p"))
	if st := New(server).Bind(t.Context(), nil, info, "a"); !st.OK() {
		t.Fatal(st.Error())
	}
	p, err := client.Of[*corev1.Pod](server).Get(t.Context(), "d", "p")
	if err != nil || p.Spec.NodeName != "a" {
		t.Errorf("pod is on %q, %v", p.Spec.NodeName, err)
	}
	if st := New(server).Bind(t.Context(), nil, info, "b"); !apierrors.IsConflict(st.Error()) {
		t.Errorf("a second binding ends with %v, want a conflict", st.Error())
	}
}
