package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

// life is one kind's way through the API: what is made, how its status is patched and what
// that must leave behind.
type life struct {
	name      string
	resource  schema.GroupVersionResource
	namespace string
	object    string // JSON without metadata
	patch     string // merged into the object
	path      []string
	want      any    // at path, after the patch
	status    string // merged into the status; empty: the kind has none
	statusAt  []string
	wanted    any
}

const podSpecJSON = `{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"miniorch/demo"}]}`

const jobSpecJSON = `{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"miniorch/demo"}]}}}`

func lives() []life {
	core := func(r string) schema.GroupVersionResource { return corev1.SchemeGroupVersion.WithResource(r) }
	apps := func(r string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: r}
	}
	batch := func(r string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: r}
	}
	workload := `{"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":` + podSpecJSON + `}}}`
	condition := `{"conditions":[{"type":"StatusPatched","status":"True","reason":"E2E","message":"Set by a test"}]}`
	conditions := func(times ...string) []any {
		c := map[string]any{"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by a test"}
		for _, field := range times {
			c[field] = nil // an unset time is written as null
		}
		return []any{c}
	}
	return []life{
		{name: "configmaps", resource: core("configmaps"), namespace: "default", object: `{"data":{"k":"v"}}`,
			patch: `{"data":{"k":"w"}}`, path: []string{"data", "k"}, want: "w"},
		{name: "secrets", resource: core("secrets"), namespace: "default", object: `{"type":"Opaque","data":{"k":"dg=="}}`,
			patch: `{"data":{"k":"dw=="}}`, path: []string{"data", "k"}, want: "dw=="},
		{name: "serviceaccounts", resource: core("serviceaccounts"), namespace: "default", object: `{}`,
			patch: `{"automountServiceAccountToken":false}`, path: []string{"automountServiceAccountToken"}, want: false},
		{name: "pods", resource: core("pods"), namespace: "default", object: `{"spec":` + podSpecJSON + `}`,
			patch: `{"spec":{"activeDeadlineSeconds":30}}`, path: []string{"spec", "activeDeadlineSeconds"}, want: int64(30),
			status: `{"message":"Patched by a test","reason":"E2E"}`, statusAt: []string{"status", "reason"}, wanted: "E2E"},
		{name: "services", resource: core("services"), namespace: "default",
			object: `{"spec":{"type":"LoadBalancer","loadBalancerClass":"example.com/internal-vip","ports":[{"name":"http","port":80,"targetPort":80,"protocol":"TCP"}]}}`,
			patch:  `{"spec":{"sessionAffinity":"ClientIP"}}`, path: []string{"spec", "sessionAffinity"}, want: "ClientIP",
			status:   `{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}`,
			statusAt: []string{"status", "loadBalancer", "ingress"}, wanted: []any{map[string]any{"ip": "203.0.113.1", "ipMode": "VIP"}}},
		{name: "endpoints", resource: core("endpoints"), namespace: "default",
			object: `{"subsets":[{"addresses":[{"ip":"10.0.0.24"}],"ports":[{"name":"http","port":80,"protocol":"TCP"}]}]}`,
			patch:  `{"subsets":[{"addresses":[{"ip":"10.0.0.25"}],"ports":[{"name":"http-test","port":8080,"protocol":"TCP"}]}]}`,
			path:   []string{"subsets"}, want: []any{map[string]any{"addresses": []any{map[string]any{"ip": "10.0.0.25"}},
				"ports": []any{map[string]any{"name": "http-test", "port": int64(8080), "protocol": "TCP"}}}}},
		{name: "events", resource: core("events"), namespace: "default",
			object: `{"involvedObject":{"namespace":"default"},"message":"this is a test","reason":"Test","type":"Normal","count":1}`,
			patch:  `{"message":"patched","series":{"count":100,"lastObservedTime":"2017-09-19T13:49:16.000000Z"}}`,
			path:   []string{"series", "lastObservedTime"}, want: "2017-09-19T13:49:16.000000Z"},
		{name: "new events", resource: schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}, namespace: "default",
			object: `{"regarding":{"namespace":"default"},"eventTime":"2026-01-02T03:04:05.000006Z","note":"this is a test","action":"Do","reason":"Test","type":"Normal",` +
				`"reportingController":"test-controller","reportingInstance":"test-node"}`,
			patch: `{"note":"patched","series":{"count":2,"lastObservedTime":"2026-01-02T03:04:06.000007Z"}}`,
			path:  []string{"series", "lastObservedTime"}, want: "2026-01-02T03:04:06.000007Z"},
		{name: "leases", resource: schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}, namespace: "default",
			object: `{"spec":{"holderIdentity":"holder","leaseDurationSeconds":30,"acquireTime":"2026-01-02T03:04:05.000006Z","leaseTransitions":0}}`,
			patch:  `{"spec":{"holderIdentity":"other","leaseTransitions":1}}`, path: []string{"spec", "leaseTransitions"}, want: int64(1)},
		{name: "endpointslices", resource: schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, namespace: "default",
			object: `{"addressType":"IPv4","endpoints":[{"addresses":["1.2.3.4","5.6.7.8"]}],"ports":[{"port":80}]}`,
			patch:  `{"endpoints":[{"addresses":["1.2.3.9"]}]}`, path: []string{"endpoints"}, want: []any{map[string]any{"addresses": []any{"1.2.3.9"}, "conditions": map[string]any{}}}},
		{name: "replicasets", resource: apps("replicasets"), namespace: "default", object: workload,
			patch: `{"spec":{"replicas":3}}`, path: []string{"spec", "replicas"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
		{name: "deployments", resource: apps("deployments"), namespace: "default", object: workload,
			patch: `{"spec":{"replicas":3}}`, path: []string{"spec", "replicas"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime", "lastUpdateTime")},
		{name: "controllerrevisions", resource: apps("controllerrevisions"), namespace: "default", object: `{"revision":1,"data":{"any":{"thing":1}}}`,
			patch: `{"revision":3}`, path: []string{"revision"}, want: int64(3)},
		{name: "replicationcontrollers", resource: core("replicationcontrollers"), namespace: "default",
			object: `{"spec":{"replicas":1,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":` + podSpecJSON + `}}}`,
			patch:  `{"spec":{"replicas":3}}`, path: []string{"spec", "replicas"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
		{name: "jobs", resource: batch("jobs"), namespace: "default", object: `{"spec":` + jobSpecJSON + `}`,
			patch: `{"spec":{"parallelism":3}}`, path: []string{"spec", "parallelism"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastProbeTime", "lastTransitionTime")},
		{name: "cronjobs", resource: batch("cronjobs"), namespace: "default", object: `{"spec":{"schedule":"@hourly","jobTemplate":{"spec":` + jobSpecJSON + `}}}`,
			patch: `{"spec":{"suspend":true}}`, path: []string{"spec", "suspend"}, want: true,
			status: `{"lastScheduleTime":"2026-01-02T03:04:05Z"}`, statusAt: []string{"status", "lastScheduleTime"}, wanted: "2026-01-02T03:04:05Z"},
		{name: "nodes", resource: core("nodes"), object: `{}`,
			patch: `{"spec":{"unschedulable":true}}`, path: []string{"spec", "unschedulable"}, want: true,
			status: `{"capacity":{"example.com/fish":"3"}}`, statusAt: []string{"status", "capacity"}, wanted: map[string]any{"example.com/fish": "3"}},
		{name: "namespaces", resource: core("namespaces"), object: `{}`,
			patch: `{"metadata":{"finalizers":["e2e.example.com/fake"]}}`, path: []string{"metadata", "finalizers"}, want: []any{"e2e.example.com/fake"},
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
	}
}

// TestLifeOfEveryKind takes each kind through what Kubernetes' conformance suite calls its API
// operations, and checks that a watch sees each step once and in order.
func TestLifeOfEveryKind(t *testing.T) {
	c := startCluster(t)
	c.account("default")
	cfg := c.as("admin", "system:masters")
	cfg.WarningHandler = restclient.NoWarnings{}
	client := must(dynamic.NewForConfig(cfg))(t)
	all := slices.Concat(lives(), livesOfGroups(t), livesOfStorage())
	for _, l := range all {
		t.Run(l.name, func(t *testing.T) { live(t, client, l) })
	}
	_, served, err := must(discovery.NewDiscoveryClientForConfig(cfg))(t).ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range served {
		gv := must(schema.ParseGroupVersion(list.GroupVersion))(t)
		for _, r := range list.APIResources {
			lived := func(l life) bool { return l.resource == gv.WithResource(r.Name) }
			if r.Name == "ipaddresses" { // its names are addresses: TestAddressesByHand walks it
				continue
			}
			if slices.Contains(r.Verbs, "create") && slices.Contains(r.Verbs, "watch") && !slices.ContainsFunc(all, lived) {
				t.Errorf("nobody has lived the life of %s in %s", r.Name, gv)
			}
			if i := slices.IndexFunc(all, lived); i >= 0 {
				checkDiscovery(t, list.APIResources, r, all[i])
			}
		}
	}
}

// checkDiscovery: what can be done with a kind is said before anybody does it.
func checkDiscovery(t *testing.T, beside []metav1.APIResource, r metav1.APIResource, l life) {
	t.Helper()
	want := metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	if l.name == "namespaces" {
		want = slices.DeleteFunc(want, func(v string) bool { return v == "deletecollection" })
	}
	verbs := slices.Sorted(slices.Values(r.Verbs))
	if !slices.Equal(verbs, want) || r.Namespaced != (l.namespace != "") || r.SingularName == "" || r.Kind == "" {
		t.Errorf("%s is announced as %+v", r.Name, r)
	}
	status := slices.ContainsFunc(beside, func(b metav1.APIResource) bool { return b.Name == r.Name+"/status" })
	if l.status != "" && !status {
		t.Errorf("the status of %s is not announced", r.Name)
	}
	if l.status == "" && status && !statusElsewhere[l.name] {
		t.Errorf("%s has a status, and nobody wrote it", r.Name)
	}
}

// statusElsewhere are the kinds whose status cannot be written without more around it; tests of
// their own do.
var statusElsewhere = map[string]bool{"podcertificaterequests": true}

// walk is a life that is being walked.
type walk struct {
	*testing.T
	life
	all, in dynamic.ResourceInterface
	watch   watch.Interface
}

func live(t *testing.T, client dynamic.Interface, l life) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	w := &walk{T: t, life: l, all: client.Resource(l.resource), in: client.Resource(l.resource)}
	if l.namespace != "" {
		w.in = client.Resource(l.resource).Namespace(l.namespace)
	}
	w.watch = must(w.in.Watch(ctx, metav1.ListOptions{LabelSelector: "test=life"}))(t)
	defer w.watch.Stop()
	one := w.create(ctx, "one")
	w.create(ctx, "two")
	w.refuseTwins(ctx)
	w.patches(ctx, one)
	w.updates(ctx)
	if l.status != "" {
		w.statuses(ctx)
	}
	w.lists(ctx)
	w.leaves(ctx)
	w.deletes(ctx)
}

func (w *walk) body(name string) *unstructured.Unstructured {
	w.Helper()
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(w.object), &obj.Object); err != nil {
		w.Fatal(err)
	}
	for _, r := range api.Resources() {
		if r.GVR() == w.resource {
			obj.SetGroupVersionKind(r.GVK())
		}
	}
	obj.SetName(name)
	obj.SetLabels(map[string]string{"test": "life", "name": name})
	return obj
}

// expect reads the next event of the watch.
func (w *walk) expect(kind watch.EventType, name string) *unstructured.Unstructured {
	w.Helper()
	e, ok := <-w.watch.ResultChan()
	obj, _ := e.Object.(*unstructured.Unstructured)
	if !ok || e.Type != kind || obj == nil || obj.GetName() != name {
		w.Fatalf("watched %v %+v, want %s %q", e.Type, e.Object, kind, name)
	}
	return obj
}

func (w *walk) holds(obj *unstructured.Unstructured, want any, at ...string) {
	w.Helper()
	got, _, err := unstructured.NestedFieldNoCopy(obj.Object, at...)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("%v is %v (%v), want %v", at, got, err, want)
	}
}

func (w *walk) create(ctx context.Context, name string) *unstructured.Unstructured {
	w.Helper()
	dry := must(w.in.Create(ctx, w.body(name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}))(w)
	if dry.GetUID() == "" || dry.GetResourceVersion() != "" {
		w.Errorf("a dry run returned uid %q, resourceVersion %q", dry.GetUID(), dry.GetResourceVersion())
	}
	made := must(w.in.Create(ctx, w.body(name), metav1.CreateOptions{}))(w)
	seen := w.expect(watch.Added, name)
	if seen.GetResourceVersion() != made.GetResourceVersion() || made.GetUID() == "" {
		w.Errorf("the watch saw resourceVersion %s, made was %s", seen.GetResourceVersion(), made.GetResourceVersion())
	}
	return made
}

func (w *walk) refuseTwins(ctx context.Context) {
	w.Helper()
	if _, err := w.in.Create(ctx, w.body("one"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		w.Errorf("a second create: %v", err)
	}
}

func (w *walk) patches(ctx context.Context, made *unstructured.Unstructured) {
	w.Helper()
	dry := must(w.in.Patch(ctx, "one", types.MergePatchType, []byte(w.patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}))(w)
	w.holds(dry, w.want, w.path...)
	if now := must(w.in.Get(ctx, "one", metav1.GetOptions{}))(w); now.GetResourceVersion() != made.GetResourceVersion() {
		w.Error("a dry run wrote")
	}
	patched := must(w.in.Patch(ctx, "one", types.StrategicMergePatchType, []byte(w.patch), metav1.PatchOptions{}))(w)
	w.holds(patched, w.want, w.path...)
	w.holds(w.expect(watch.Modified, "one"), w.want, w.path...)
	again := must(w.in.Patch(ctx, "one", types.MergePatchType, []byte(w.patch), metav1.PatchOptions{}))(w)
	if again.GetResourceVersion() != patched.GetResourceVersion() {
		w.Error("a patch that changes nothing wrote a new version")
	}
	patched = must(w.in.Patch(ctx, "one", types.JSONPatchType, []byte(`[{"op":"add","path":"/metadata/labels/patched","value":"yes"}]`), metav1.PatchOptions{}))(w)
	w.holds(patched, "yes", "metadata", "labels", "patched")
	w.expect(watch.Modified, "one")
}

func (w *walk) updates(ctx context.Context) {
	w.Helper()
	got := must(w.in.Get(ctx, "one", metav1.GetOptions{}))(w)
	stale := got.DeepCopy()
	labels := got.GetLabels()
	labels["updated"] = "yes"
	got.SetLabels(labels)
	updated := must(w.in.Update(ctx, got, metav1.UpdateOptions{}))(w)
	w.holds(updated, "yes", "metadata", "labels", "updated")
	w.expect(watch.Modified, "one")
	if _, err := w.in.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		w.Errorf("a stale update: %v, want a conflict", err)
	}
}

func (w *walk) statuses(ctx context.Context) {
	w.Helper()
	before := must(w.in.Get(ctx, "one", metav1.GetOptions{}, "status"))(w)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":%s}`, w.status)
	patched := must(w.in.Patch(ctx, "one", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"))(w)
	w.expect(watch.Modified, "one")
	w.holds(patched, w.wanted, w.statusAt...)
	w.holds(patched, "true", "metadata", "annotations", "patchedstatus")
	if patched.GetGeneration() != before.GetGeneration() {
		w.Error("a status made a new generation")
	}
	got := must(w.in.Get(ctx, "one", metav1.GetOptions{}, "status"))(w)
	w.holds(got, w.wanted, w.statusAt...)
	unstructured.RemoveNestedField(got.Object, w.statusAt...)
	if err := unstructured.SetNestedField(got.Object, "not here", "metadata", "annotations", "patchedstatus"); err != nil {
		w.Fatal(err)
	}
	must(w.in.UpdateStatus(ctx, got, metav1.UpdateOptions{}))(w)
	w.expect(watch.Modified, "one")
	after := must(w.in.Get(ctx, "one", metav1.GetOptions{}))(w)
	w.holds(after, nil, w.statusAt...)
	// The main door leaves the status alone.
	ignored := must(w.in.Patch(ctx, "one", types.MergePatchType, []byte(`{"status":`+w.status+`}`), metav1.PatchOptions{}))(w)
	w.holds(ignored, nil, w.statusAt...)
}

func (w *walk) lists(ctx context.Context) {
	w.Helper()
	for selector, want := range map[string]int{"test=life": 2, "test=life,name=one": 1, "updated": 1, "test=life,name notin (one,two)": 0} {
		list := must(w.all.List(ctx, metav1.ListOptions{LabelSelector: selector}))(w)
		if len(list.Items) != want {
			w.Errorf("%q in all namespaces: %d, want %d", selector, len(list.Items), want)
		}
	}
	list := must(w.in.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=two"}))(w)
	if len(list.Items) != 1 {
		w.Errorf("by name: %d", len(list.Items))
	}
}

// leaves: an object that stops to match a selector is deleted, to who watches with it.
func (w *walk) leaves(ctx context.Context) {
	w.Helper()
	must(w.in.Patch(ctx, "two", types.MergePatchType, []byte(`{"metadata":{"labels":{"test":null}}}`), metav1.PatchOptions{}))(w)
	w.expect(watch.Deleted, "two")
	must(w.in.Patch(ctx, "two", types.MergePatchType, []byte(`{"metadata":{"annotations":{"unseen":"yes"}}}`), metav1.PatchOptions{}))(w)
	back := must(w.in.Patch(ctx, "two", types.MergePatchType, []byte(`{"metadata":{"labels":{"test":"life"}}}`), metav1.PatchOptions{}))(w)
	if seen := w.expect(watch.Added, "two"); seen.GetResourceVersion() != back.GetResourceVersion() {
		w.Error("the watch saw what happened in between")
	}
}

func (w *walk) deletes(ctx context.Context) {
	w.Helper()
	wrong := types.UID("00000000-0000-0000-0000-000000000000")
	if err := w.in.Delete(ctx, "one", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}}); !apierrors.IsConflict(err) {
		w.Errorf("deleting with another's uid: %v, want a conflict", err)
	}
	if err := w.in.Delete(ctx, "one", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		w.Errorf("deleting in a dry run: %v", err)
	}
	if w.name == "namespaces" { // what empties them is a controller
		if err := w.in.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "test=life"}); !apierrors.IsMethodNotSupported(err) {
			w.Errorf("deleting namespaces all at once: %v", err)
		}
		return
	}
	last := must(w.in.Get(ctx, "one", metav1.GetOptions{}))(w)
	if len(last.GetFinalizers()) > 0 { // what takes them off is a controller
		for _, name := range []string{"one", "two"} {
			last = must(w.in.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(w)
			w.expect(watch.Modified, name)
		}
	}
	background := metav1.DeletePropagationBackground // old kinds would wait for the garbage collector
	if err := w.in.Delete(ctx, "one", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), PropagationPolicy: &background}); err != nil {
		w.Fatal(err)
	}
	if seen := w.expect(watch.Deleted, "one"); seen.GetResourceVersion() == last.GetResourceVersion() {
		w.Error("a deletion has a resourceVersion of its own")
	}
	if err := w.in.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{LabelSelector: "test=life"}); err != nil {
		w.Fatal(err)
	}
	w.expect(watch.Deleted, "two")
	if _, err := w.in.Get(ctx, "two", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		w.Errorf("after the deletion of all: %v", err)
	}
}

// What the oldest kinds own stays by default when they are deleted; for Jobs a warning says so.
func TestDeletedJobsLeaveTheirPods(t *testing.T) {
	c := startCluster(t)
	warned := &collector{}
	cfg := c.as("admin", "system:masters")
	cfg.WarningHandler = warned
	client := must(dynamic.NewForConfig(cfg))(t)
	for _, l := range append(lives(), livesOfGroups(t)...) {
		if l.name != "jobs" && l.name != "replicationcontrollers" {
			continue
		}
		w := &walk{T: t, life: l, in: client.Resource(l.resource).Namespace("default")}
		must(w.in.Create(t.Context(), w.body("one"), metav1.CreateOptions{}))(t)
		warned.texts = nil
		if err := w.in.Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		left := must(w.in.Get(t.Context(), "one", metav1.GetOptions{}))(t)
		if f := left.GetFinalizers(); len(f) != 1 || f[0] != metav1.FinalizerOrphanDependents {
			t.Errorf("%s: finalizers are %v, want orphan", l.name, f)
		}
		if says := strings.Contains(strings.Join(warned.texts, ""), "child pods are preserved by default"); says != (l.name == "jobs") {
			t.Errorf("%s: warnings are %q", l.name, warned.texts)
		}
	}
}

// collector keeps the warnings that a client is sent.
type collector struct{ texts []string }

func (c *collector) HandleWarningHeader(_ int, _, text string) { c.texts = append(c.texts, text) }
