package rest_test

//lint:file-ignore SA1019 what a client writes to selfLink is dropped.

import (
	"regexp"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/memory"
)

func TestCreateSetsMetadata(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		sent := configMap("a", "k", "v")
		when := metav1.Now()
		sent.DeletionTimestamp, sent.UID, sent.SelfLink, sent.Generation = &when, "mine", "/x", 7
		sent.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update"}}
		sent.TypeMeta = metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}
		sent.Namespace = ""
		got := e.mustCreate("default", sent).(*corev1.ConfigMap)
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(string(got.UID)) {
			t.Errorf("uid = %q, want a random UUID", got.UID)
		}
		if got.Namespace != "default" || got.CreationTimestamp.IsZero() || got.DeletionTimestamp != nil ||
			got.SelfLink != "" || got.Generation != 0 || got.Kind != "" ||
			len(got.ManagedFields) != 1 || got.ManagedFields[0].Manager != "admin" || strings.Contains(got.ManagedFields[0].FieldsV1.String(), "deletionTimestamp") {
			t.Errorf("metadata = %+v", got)
		}
		stored := mustGet[*corev1.ConfigMap](e, "default", "a")
		if stored.ResourceVersion != got.ResourceVersion || stored.Data["k"] != "v" || !stored.CreationTimestamp.Equal(&got.CreationTimestamp) {
			t.Errorf("stored %+v, returned %+v", stored, got)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ns     string
		object *corev1.ConfigMap
		change func(*corev1.ConfigMap)
		reason metav1.StatusReason
		says   string
	}{
		{name: "an existing name", object: configMap("taken"), reason: metav1.StatusReasonAlreadyExists, says: `configmaps "taken" already exists`},
		{name: "a name that is being deleted", object: configMap("held"), reason: metav1.StatusReasonAlreadyExists, says: `object is being deleted: configmaps "held" already exists`},
		{name: "a resourceVersion", object: configMap("a"), change: func(cm *corev1.ConfigMap) { cm.ResourceVersion = "1" }, reason: metav1.StatusReasonBadRequest, says: "resourceVersion should not be set on objects to be created"},
		{name: "another namespace", object: configMap("a"), change: func(cm *corev1.ConfigMap) { cm.Namespace = "other" }, reason: metav1.StatusReasonBadRequest, says: "the namespace of the provided object does not match the namespace sent on the request"},
		{name: "an absent namespace", ns: "absent", object: configMap("a"), change: func(cm *corev1.ConfigMap) { cm.Namespace = "" }, reason: metav1.StatusReasonNotFound, says: `namespaces "absent" not found`},
		{name: "no name", object: configMap(""), reason: metav1.StatusReasonInvalid, says: "metadata.name: Required value: name or generateName is required"},
		{name: "a bad name", object: configMap("Bad_Name"), reason: metav1.StatusReasonInvalid, says: "metadata.name: Invalid value"},
		{name: "a bad label", object: configMap("a"), change: func(cm *corev1.ConfigMap) { cm.Labels = map[string]string{"a b": ""} }, reason: metav1.StatusReasonInvalid, says: "metadata.labels: Invalid value"},
		{name: "what the kind refuses", object: configMap("a", "bad", ""), reason: metav1.StatusReasonInvalid, says: `ConfigMap "a" is invalid: data[bad]: Invalid value: "": is bad`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *engine) {
				e.mustCreate("default", configMap("taken"))
				held := configMap("held")
				held.Finalizers = []string{"example.com/hold"}
				e.mustCreate("default", held)
				if _, _, err := of[*corev1.ConfigMap](e).Delete(e.ctx, "default", "held", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				if tc.change != nil {
					tc.change(tc.object)
				}
				if tc.ns == "" {
					tc.ns = "default"
				}
				_, err := e.create(tc.ns, tc.object)
				if status := wantReason(t, err, tc.reason); !strings.Contains(status.Message, tc.says) {
					t.Errorf("message = %q, want it to contain %q", status.Message, tc.says)
				}
			})
		})
	}
}

func TestCreateInTerminatingNamespace(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		e.mustCreate("", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}})
		if _, deleted, err := of[*corev1.Namespace](e).Delete(e.ctx, "", "going", metav1.DeleteOptions{}); err != nil || deleted {
			t.Fatalf("deleted %v, error %v; want a namespace that terminates", deleted, err)
		}
		cm := configMap("a")
		cm.Namespace = "going"
		_, err := e.create("going", cm)
		status := wantReason(t, err, metav1.StatusReasonForbidden)
		if len(status.Details.Causes) != 1 || status.Details.Causes[0].Type != corev1.NamespaceTerminatingCause {
			t.Errorf("causes = %v", status.Details.Causes)
		}
	})
}

func TestGenerateName(t *testing.T) {
	// The source repeats itself, so the second object's first name is the first one's.
	values := []uint64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 7, 8, 9}
	i := -1
	e := startOver(t, memory.New(memory.Config{}), rest.Config{Rand: func() uint64 { i = min(i+1, len(values)-1); return values[i] }})
	seen := map[string]bool{}
	for range 2 {
		cm := configMap("")
		cm.GenerateName = "web-"
		name := e.mustCreate("default", cm).GetName()
		if !regexp.MustCompile(`^web-[bcdfghjklmnpqrstvwxz2456789]{5}$`).MatchString(name) || seen[name] {
			t.Errorf("name = %q after %v", name, seen)
		}
		seen[name] = true
	}
	long := configMap("")
	long.GenerateName = strings.Repeat("a", 70)
	if name := e.mustCreate("default", long).GetName(); len(name) != 63 {
		t.Errorf("generated name %q has %d characters, want 63", name, len(name))
	}
	again := configMap("")
	again.GenerateName = strings.Repeat("a", 70)
	if _, err := e.create("default", again); err == nil {
		t.Error("with nothing but the same random number left, want a refusal")
	} else if status := wantReason(t, err, metav1.StatusReasonAlreadyExists); !strings.Contains(status.Message, "was not able to generate a unique name") {
		t.Errorf("message = %q", status.Message)
	}
}

func TestCreateDryRun(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		it, err := of[*corev1.ConfigMap](e).Create(e.ctx, "default", configMap("a"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil || it.Object.GetUID() == "" || it.Object.GetResourceVersion() != "" {
			t.Fatalf("dry run = %+v, %v", it, err)
		}
		if _, err := get[*corev1.ConfigMap](e, "default", "a"); err == nil {
			t.Error("the dry run stored the object")
		}
		e.mustCreate("default", configMap("a"))
		_, err = of[*corev1.ConfigMap](e).Create(e.ctx, "default", configMap("a"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		wantReason(t, err, metav1.StatusReasonAlreadyExists)
		_, err = of[*corev1.ConfigMap](e).Create(e.ctx, "default", configMap("b"), metav1.CreateOptions{DryRun: []string{"Some"}})
		wantReason(t, err, metav1.StatusReasonInvalid)
	})
}

func TestCreateOnUpdate(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		leases := of[*coordinationv1.Lease](e)
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: "default"}}
		it, created, err := leases.Update(e.ctx, "default", "l", "", rest.Replace(lease), rest.UpdateOptions{})
		if err != nil || !created || it.Object.GetUID() == "" {
			t.Fatalf("item %v, created %v, error %v", it, created, err)
		}
		_, _, err = leases.Update(e.ctx, "default", "l", "", rest.Replace(lease), rest.UpdateOptions{})
		wantReason(t, err, metav1.StatusReasonInvalid) // this kind wants a resourceVersion
		_, _, err = of[*corev1.ConfigMap](e).Update(e.ctx, "default", "no", "", rest.Replace(configMap("no")), rest.UpdateOptions{})
		wantReason(t, err, metav1.StatusReasonNotFound)
	})
}

// https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/: names say whose they are.
func TestFinalizersHaveOwners(t *testing.T) {
	inBubble(t, func(t *testing.T, e *engine) {
		configMaps := of[*corev1.ConfigMap](e)
		with := func(name string, finalizers ...string) *corev1.ConfigMap {
			c := configMap(name)
			c.Finalizers = finalizers
			return c
		}
		_, err := configMaps.Create(e.ctx, "default", with("a", "mine"), metav1.CreateOptions{})
		wantReason(t, err, metav1.StatusReasonInvalid)
		made := must(configMaps.Create(e.ctx, "default", with("a", "example.com/mine", "orphan"), metav1.CreateOptions{}))(t).Object.(*corev1.ConfigMap).DeepCopy()
		made.Finalizers = append(made.Finalizers, "again")
		_, _, err = configMaps.Update(e.ctx, "default", "a", "", rest.Replace(made), rest.UpdateOptions{})
		wantReason(t, err, metav1.StatusReasonInvalid)
	})
}
