package apiserver_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
)

// What Kubernetes' conformance tests of the API's machinery ask (test/e2e/apimachinery, test/e2e/instrumentation
// there), one after the other.

// TestChunking: "Servers with support for API chunking should return chunks of results for list calls".
func TestChunking(t *testing.T) {
	const total = 400
	c := startCluster(t)
	templates := c.admin("application/vnd.kubernetes.protobuf").CoreV1().PodTemplates("default")
	for i := range total {
		must(templates.Create(t.Context(), &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("template-%04d", i)},
			Template: corev1.PodTemplateSpec{Spec: pod("").Spec}}, metav1.CreateOptions{}))(t)
	}
	for _, limit := range []int64{1 + total/3, 17, total, total + 1} {
		opts, found, version := metav1.ListOptions{Limit: limit}, 0, ""
		for {
			list := must(templates.List(t.Context(), opts))(t)
			if version == "" {
				version = list.ResourceVersion
			}
			if len(list.Items) > int(limit) || list.ResourceVersion != version {
				t.Fatalf("%d items at %s, want up to %d at %s", len(list.Items), list.ResourceVersion, limit, version)
			}
			for _, item := range list.Items {
				if item.Name != fmt.Sprintf("template-%04d", found) {
					t.Fatalf("item %d is %s", found, item.Name)
				}
				found++
			}
			if list.Continue == "" {
				if list.RemainingItemCount != nil || found != total {
					t.Errorf("limit %d: %d items, and %v remain", limit, found, list.RemainingItemCount)
				}
				break
			}
			if list.RemainingItemCount == nil || int(*list.RemainingItemCount)+found != total {
				t.Errorf("limit %d: after %d items %v remain", limit, found, list.RemainingItemCount)
			}
			opts.Continue = list.Continue
		}
	}
}

// TestDiscoveryConformance: every group has a preferred version, and every version lists resources, with both
// forms of discovery; "server version should find the server version".
func TestDiscoveryConformance(t *testing.T) {
	c := startCluster(t)
	client := c.admin("").Discovery()
	groups, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		if group.PreferredVersion.GroupVersion == "" || !slices.Contains(group.Versions, group.PreferredVersion) {
			t.Errorf("%q prefers %+v of %+v", group.Name, group.PreferredVersion, group.Versions)
		}
		for _, version := range group.Versions {
			list := must(client.ServerResourcesForGroupVersion(version.GroupVersion))(t)
			if list.GroupVersion != version.GroupVersion || len(list.APIResources) == 0 {
				t.Errorf("%s lists %+v", version.GroupVersion, list)
			}
		}
	}
	byGVR, err := discovery.GroupVersionResources(lists)
	if err != nil {
		t.Fatal(err)
	}
	for _, gvr := range []schema.GroupVersionResource{
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "authentication.k8s.io", Version: "v1", Resource: "tokenreviews"}, {Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"},
		{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}, {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		{Group: "batch", Version: "v1", Resource: "jobs"}, {Group: "batch", Version: "v1", Resource: "cronjobs"},
		{Group: "certificates.k8s.io", Version: "v1", Resource: "certificatesigningrequests"}, {Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"}, {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
		{Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses"}, {Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"},
		{Version: "v1", Resource: "pods"}, {Version: "v1", Resource: "services"},
	} {
		if _, served := byGVR[gvr]; !served {
			t.Errorf("%v is not discovered", gvr)
		}
	}
	for _, path := range []string{"/api", "/apis"} {
		a := do(t, c.raw(&c.security.Admin), "GET", c.url+path, nil, "Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		if a.StatusCode != 200 || !strings.Contains(string(a.body), `"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2"`) {
			t.Errorf("%s: %d %.200s", path, a.StatusCode, a.body)
		}
	}
	info := must(client.ServerVersion())(t)
	digits := regexp.MustCompile(`^[0-9]+$`)
	if !digits.MatchString(info.Major) || !digits.MatchString(info.Minor) {
		t.Errorf("version %q.%q", info.Major, info.Minor)
	}
}

// TestFieldValidationConformance: "should detect unknown and duplicate fields of a typed object", "should detect
// unknown metadata fields of a typed object", whatever the verb.
func TestFieldValidationConformance(t *testing.T) {
	c := startCluster(t)
	admin := c.raw(&c.security.Admin)
	const place = "/apis/apps/v1/namespaces/default/deployments"
	const good = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","labels":{"app":"x"}},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"x"}},` +
		`"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	bad := strings.Replace(good, `"spec":{"replicas":1,`, `"spec":{"unknown1":"val1","unknownDupe":"val","unknownDupe":"val","paused":true,"paused":false,"replicas":1,`, 1)
	meta := strings.Replace(strings.Replace(good, `"metadata":{"name":"d",`, `"metadata":{"name":"d","unknownMeta":"foo",`, 1), `"metadata":{"labels"`, `"metadata":{"unknownSubMeta":"bar","labels"`, 1)
	const yaml = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  unknown1: val1\n  unknownDupe: valDupe\n  unknownDupe: valDupe2\n  paused: true\n  paused: false\n" +
		"  selector: {matchLabels: {app: x}}\n  template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: i}]}}\n"
	do(t, admin, "POST", c.url+place, []byte(good))
	for _, tt := range []struct {
		name, method, path, media, body string
		says                            []string
	}{
		{"create", "POST", place, "application/json", bad, []string{`strict decoding error: unknown field "spec.unknown1", unknown field "spec.unknownDupe", duplicate field "spec.paused"`}},
		{"create in YAML", "POST", place, "application/yaml", yaml, []string{`key "unknownDupe" already set in map`, `key "paused" already set in map`, `unknown field "spec.unknown1"`, `unknown field "spec.unknownDupe"`}},
		{"update", "PUT", place + "/d", "application/json", bad, []string{`unknown field "spec.unknown1"`, `duplicate field "spec.paused"`}},
		{"merge patch", "PATCH", place + "/d", "application/merge-patch+json", `{"spec":{"unknown1":"a","paused":true,"paused":false}}`, []string{`duplicate field "spec.paused"`, `unknown field "spec.unknown1"`}},
		{"strategic patch", "PATCH", place + "/d", "application/strategic-merge-patch+json", `{"spec":{"unknown1":"a","paused":true,"paused":false}}`, []string{`duplicate field "spec.paused"`, `unknown field "spec.unknown1"`}},
		{"JSON patch", "PATCH", place + "/d", "application/json-patch+json", `[{"op":"add","path":"/spec/unknown1","value":"a","foo":"bar"}]`, []string{`json patch unknown field "[0].foo"`, `unknown field "spec.unknown1"`}},
		{"apply", "PATCH", place + "/d", "application/apply-patch+yaml", yaml, []string{`key "unknownDupe" already set in map`, `key "paused" already set in map`}},
		{"apply of unknown fields", "PATCH", place + "/d", "application/apply-patch+yaml", "apiVersion: apps/v1\nkind: Deployment\nspec: {unknown1: a}\n", []string{`.spec.unknown1: field not declared in schema`}},
		{"metadata", "POST", place, "application/json", meta, []string{`unknown field "metadata.unknownMeta"`, `unknown field "spec.template.metadata.unknownSubMeta"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := do(t, admin, tt.method, c.url+tt.path+"?fieldValidation=Strict&fieldManager=x", []byte(tt.body), "Content-Type", tt.media)
			s := a.status(t)
			if a.StatusCode != 400 && a.StatusCode != 422 && a.StatusCode != 500 {
				t.Errorf("%d", a.StatusCode)
			}
			for _, want := range tt.says {
				if !strings.Contains(s.Message, want) {
					t.Errorf("%d %s, want %q in it", a.StatusCode, s.Message, want)
				}
			}
		})
	}
}

// TestEventsConformance: the life of an Event in both of its groups.
func TestEventsConformance(t *testing.T) {
	c := startCluster(t)
	set := c.admin("application/vnd.kubernetes.protobuf")
	now := metav1.NowMicro()
	event := func(name string) *eventsv1.Event {
		return &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"testevent": "true"}},
			Regarding: corev1.ObjectReference{Namespace: "default"}, EventTime: now, Note: "This is event-test", Action: "Do", Reason: "Test", Type: "Normal",
			ReportingController: "test-controller", ReportingInstance: "test-node"}
	}
	events := set.EventsV1().Events("default")
	made := must(events.Create(t.Context(), event("event-test"), metav1.CreateOptions{}))(t)
	for ns, want := range map[string]int{"default": 1, "": 1} {
		for _, selector := range []string{"", "reportingController=test-controller"} {
			list := must(set.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: selector, LabelSelector: "testevent=true"}))(t)
			if len(list.Items) != want {
				t.Errorf("%d events in %q with %q", len(list.Items), ns, selector)
			}
		}
	}
	if list := must(events.List(t.Context(), metav1.ListOptions{FieldSelector: "reportingController=other"}))(t); len(list.Items) != 0 {
		t.Errorf("%d events by another controller", len(list.Items))
	}
	patched := must(events.Patch(t.Context(), "event-test", types.StrategicMergePatchType, []byte(`{"note":"This is a test event - patched"}`), metav1.PatchOptions{}))(t)
	want := made.DeepCopy()
	want.Note, want.ResourceVersion, want.ManagedFields = patched.Note, patched.ResourceVersion, patched.ManagedFields
	if !apiequality.Semantic.DeepEqual(patched, want) || patched.Note != "This is a test event - patched" {
		t.Errorf("patched %+v", patched)
	}
	patched.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.NowMicro()}
	updated := must(events.Update(t.Context(), patched, metav1.UpdateOptions{}))(t)
	if updated.Series == nil || updated.Series.Count != 2 {
		t.Errorf("updated %+v", updated)
	}
	if core := must(set.CoreV1().Events("default").Get(t.Context(), "event-test", metav1.GetOptions{}))(t); core.Message != patched.Note || core.Series == nil || core.Series.Count != 2 || core.ReportingController != "test-controller" {
		t.Errorf("in the other group it is %+v", core)
	}
	if err := events.Delete(t.Context(), "event-test", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		must(events.Create(t.Context(), event(fmt.Sprint("set-", i)), metav1.CreateOptions{}))(t)
	}
	core := set.CoreV1().Events("default")
	if list := must(core.List(t.Context(), metav1.ListOptions{LabelSelector: "testevent=true"}))(t); len(list.Items) != 3 {
		t.Errorf("%d events", len(list.Items))
	}
	if err := core.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "testevent=true"}); err != nil {
		t.Fatal(err)
	}
	if list := must(events.List(t.Context(), metav1.ListOptions{LabelSelector: "testevent=true"}))(t); len(list.Items) != 0 {
		t.Errorf("%d events are left", len(list.Items))
	}
}
