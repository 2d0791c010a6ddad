package rest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/apiserver/managedfields"
	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
	"github.com/miniorch/miniorch/pkg/api"
)

// Who applies different fields at the same time gets no conflict and loses nothing, even
// where nothing was before; who applies the same field does not win it unnoticed.
func TestApplyAtTheSameTime(t *testing.T) {
	const appliers = 12
	inBubble(t, func(t *testing.T, e *engine) {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {key%d: v, shared: %q}\n"
		var wg sync.WaitGroup
		errs := make([]error, appliers)
		for i := range appliers {
			wg.Go(func() {
				shared := "same"
				if i == appliers-1 {
					shared = "another"
				}
				_, _, errs[i] = of[*corev1.ConfigMap](e).Apply(e.ctx, "default", "m", "", fmt.Appendf(nil, text, i, shared), metav1.PatchOptions{FieldManager: fmt.Sprint("m", i)})
			})
		}
		wg.Wait()
		won, conflicts := 0, 0
		for i, err := range errs {
			switch {
			case err == nil:
				won++
			case apierrors.IsConflict(err) && strings.Contains(err.Error(), ".data.shared"):
				conflicts++
			default:
				t.Errorf("applier %d: %v", i, err)
			}
		}
		got := mustGet[*corev1.ConfigMap](e, "default", "m")
		if conflicts == 0 || won+conflicts != appliers || len(got.ManagedFields) != won || len(got.Data) != won+1 {
			t.Errorf("%d won, %d had conflicts; data %v, %d owners", won, conflicts, got.Data, len(got.ManagedFields))
		}
	})
}

// noCreation authorizes everything but to create.
type noCreation struct{}

func (noCreation) Authorize(_ context.Context, a auth.Attributes) (bool, string, error) {
	return a.Verb != "create", "no", nil
}

// Applying makes nothing for who may not create.
func TestApplyNeedsLeaveToCreate(t *testing.T) {
	e := run(t, memory.New(memory.Config{}), rest.Config{Authorizer: noCreation{}})
	text := []byte("apiVersion: v1\nkind: Node\nmetadata: {name: box, labels: {a: b}}\n")
	apply := func() error {
		_, _, err := of[*corev1.Node](e).Apply(e.ctx, "", "box", "", text, metav1.PatchOptions{FieldManager: "m"})
		return err
	}
	if err := apply(); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `cannot create resource "nodes"`) {
		t.Errorf("applying what is not there: %v", err)
	}
	e.mustCreate("", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "box"}})
	if err := apply(); err != nil {
		t.Errorf("applying what is there: %v", err)
	}
}

// FuzzApply: whatever is applied is refused with a status of the client's fault, or can be
// applied again without changing anything; and the owners that are kept can be read.
func FuzzApply(f *testing.F) {
	f.Add(appliedDeployment, appliedDeployment)
	f.Add(appliedDeployment, strings.Replace(appliedDeployment, "replicas: 3", "replicas: 4", 1))
	f.Add("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, finalizers: [a/b, a/b]}", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, ownerReferences: [{uid: a}, {uid: b}]}")
	f.Add("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: null}\nspec: null", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: c, ports: [{containerPort: 1}, {containerPort: 1, protocol: UDP}], resources: {limits: {cpu: 1e3}}}]}}}")
	f.Fuzz(func(t *testing.T, first, second string) {
		e := start(t, rest.Config{})
		store := of[*appsv1.Deployment](e)
		for i, text := range []string{first, second} {
			opts := metav1.PatchOptions{FieldManager: fmt.Sprint("m", i), Force: ptr(true)}
			it, _, err := store.Apply(e.ctx, "default", "web", "", []byte(text), opts)
			if err != nil {
				var status apierrors.APIStatus
				if !errors.As(err, &status) || status.Status().Code >= 500 {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			again, _, err := store.Apply(e.ctx, "default", "web", "", []byte(text), opts)
			if err != nil || again.Revision != it.Revision {
				t.Fatalf("%q again: %v, a new revision: %v", text, err, err == nil)
			}
			checkOwners(t, it.Object)
		}
	})
}

func checkOwners(t *testing.T, obj api.Object) {
	t.Helper()
	if err := managedfields.Check(obj.GetManagedFields()); err != nil {
		t.Errorf("owners: %v", err)
	}
}
