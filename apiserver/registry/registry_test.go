package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

func TestDescriptorsAreCoherent(t *testing.T) {
	served := map[api.Resource]bool{}
	words := map[string]string{} // short and long names → resource that has it
	for _, d := range All(Config{}) {
		t.Run(d.String(), func(t *testing.T) {
			if served[d.Resource] {
				t.Errorf("%v is described twice", d.Resource)
			}
			served[d.Resource] = true
			checkTypes(t, d)
			checkNames(t, d, words)
			checkReading(t, d)
			checkSubresources(t, d)
			checkZeroObject(t, d)
		})
	}
	for _, r := range api.Resources() {
		if !served[r] {
			t.Errorf("%v is in the roster of pkg/api and has no descriptor", r)
		}
	}
}

func checkTypes(t *testing.T, d resource.Descriptor) {
	r, ok := api.ResourceOf(d.New())
	if !ok || r != d.Resource {
		t.Errorf("New makes a %T, which the roster knows as %v", d.New(), r)
	}
	if d.NewList == nil && d.Virtual != nil && d.Virtual.List == nil {
		return // nobody lists reviews
	}
	list := d.NewList()
	kinds, _, err := api.Scheme.ObjectKinds(list)
	if err != nil || kinds[0] != d.GroupVersion().WithKind(d.Kind+"List") {
		t.Errorf("NewList makes a %T, which the scheme knows as %v (%v)", list, kinds, err)
	}
	if d.View != nil && !slices.Contains(api.Resources(), d.View.Of) {
		t.Errorf("it is a view of %v, which is not in the roster", d.View.Of)
	}
}

func checkNames(t *testing.T, d resource.Descriptor, words map[string]string) {
	if d.Group == "metrics.k8s.io" {
		return // its resources are named like what they measure, and stand behind it
	}
	if d.Singular != strings.ToLower(d.Kind) {
		t.Errorf("singular %q is not the kind %q in lower case", d.Singular, d.Kind)
	}
	for _, w := range append([]string{d.Name}, d.ShortNames...) {
		if other, taken := words[w]; taken && (d.View == nil || other != d.View.Of.String()) {
			t.Errorf("the name %q is taken by %s", w, other)
		}
		words[w] = d.String()
	}
}

func checkReading(t *testing.T, d resource.Descriptor) {
	var set map[string]string
	if d.Fields != nil {
		set = d.Fields(d.New())
	}
	names := slices.Clone(d.FieldNames)
	slices.Sort(names)
	for _, n := range names {
		if _, ok := set[n]; !ok {
			t.Errorf("field %q may be selected and has no value", n)
		}
	}
	if len(set) != len(names) {
		t.Errorf("fields have values for %v, and may be selected for %v", set, names)
	}
	if len(d.Columns) < 2 && slices.Contains(d.Verbs(), "list") {
		t.Errorf("there are only %d columns", len(d.Columns))
	}
	seen := map[string]bool{}
	for _, c := range d.Columns {
		if c.Name == "" || c.Description == "" || seen[c.Name] || !columnTypes[c.Type] {
			t.Errorf("column %+v lacks a name of its own, a description or a type", c)
		}
		seen[c.Name] = true
		switch v := c.Value(d.New(), time.Time{}).(type) {
		case string, int64:
		default:
			t.Errorf("column %s of a zero object is a %T", c.Name, v)
		}
	}
}

// columnTypes are OpenAPI's, and dates.
var columnTypes = map[string]bool{"string": true, "integer": true, "date": true}

func checkSubresources(t *testing.T, d resource.Descriptor) {
	seen := map[string]bool{}
	for _, s := range d.Subresources {
		if seen[s.Name] || len(s.Verbs) == 0 {
			t.Errorf("subresource %q is there twice, or has no verbs", s.Name)
		}
		seen[s.Name] = true
		if (s.Project == nil) != (s.Inject == nil) || (s.Project == nil) != (s.NewBody == nil) {
			t.Errorf("subresource %q has only part of Project, Inject and NewBody", s.Name)
		}
	}
}

// checkZeroObject runs everything on an object without any content: nothing may panic,
// and defaults applied twice are the same as once.
func checkZeroObject(t *testing.T, d resource.Descriptor) {
	ctx := context.Background()
	obj, old := d.New(), d.New()
	exercise(ctx, d, obj, old)
	defaultsTwice(t, d, d.New())
	if d.View != nil {
		stored, err := d.View.To(d.New())
		if err != nil {
			t.Fatalf("converting a zero object: %v", err)
		}
		if _, err := d.View.From(stored); err != nil {
			t.Errorf("converting it back: %v", err)
		}
		if _, err := d.View.To(stored); err == nil {
			t.Errorf("To takes a stored object for one of its own")
		}
	}
}

// exercise calls all of a descriptor's functions in the order of the engine.
func exercise(ctx context.Context, d resource.Descriptor, obj, old api.Object) {
	for _, o := range []api.Object{obj, old} {
		if d.Default != nil {
			d.Default(o)
		}
	}
	if d.PrepareCreate != nil {
		d.PrepareCreate(ctx, old)
	}
	if d.PrepareUpdate != nil {
		d.PrepareUpdate(ctx, obj, old)
	}
	if d.Validate != nil {
		d.Validate(ctx, obj)
	}
	if d.ValidateUpdate != nil {
		d.ValidateUpdate(ctx, obj, old)
	}
	if d.Warnings != nil {
		d.Warnings(ctx, obj, nil)
		d.Warnings(ctx, obj, old)
	}
	for _, s := range d.Subresources {
		if s.PrepareUpdate != nil {
			s.PrepareUpdate(ctx, obj, old)
		}
		if s.ValidateUpdate != nil {
			s.ValidateUpdate(ctx, obj, old)
		}
		if s.Project != nil {
			if body, err := s.Project(obj); err == nil {
				_ = s.Inject(obj, body)
			}
		}
	}
	for _, c := range d.Columns {
		c.Value(obj, time.Unix(0, 0))
	}
	if d.Fields != nil {
		d.Fields(obj)
	}
	if d.GracePeriod != nil {
		d.GracePeriod(obj, nil)
	}
	if d.TTL != nil {
		d.TTL(obj)
	}
}

func defaultsTwice(t testing.TB, d resource.Descriptor, obj api.Object) {
	t.Helper()
	if d.Default == nil {
		return
	}
	d.Default(obj)
	once := obj.DeepCopyObject()
	d.Default(obj)
	if diff := cmp.Diff(once, obj.(runtime.Object)); diff != "" {
		t.Errorf("defaults applied twice differ from once:\n%s", diff)
	}
}

// FuzzObjects decodes arbitrary JSON as each kind and checks that nothing panics and
// that defaults settle.
func FuzzObjects(f *testing.F) {
	for _, seed := range fuzzSeeds {
		raw, err := yaml.YAMLToJSON([]byte(seed))
		if err != nil {
			f.Fatalf("seed: %v", err)
		}
		f.Add(raw)
	}
	all := All(Config{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, d := range all {
			obj, old := d.New(), d.New()
			if json.Unmarshal(raw, obj) != nil {
				continue
			}
			defaultsTwice(t, d, obj.DeepCopyObject().(api.Object))
			exercise(context.Background(), d, obj, old)
			exercise(context.Background(), d, old, obj)
		}
	})
}

var fuzzSeeds = []string{
	kindtest.FullPod,
	"{}",
	"spec: {containers: [{}], initContainers: [{restartPolicy: Always}], volumes: [{}, {name: a, projected: {sources: [{}]}}]}",
	"spec: {containers: [{livenessProbe: {}, lifecycle: {preStop: {}}, env: [{valueFrom: {}}], resources: {limits: {cpu: 1}}}]}",
	"spec: {type: LoadBalancer, ports: [{}], sessionAffinity: ClientIP, clusterIPs: [None, None], ipFamilies: [IPv6]}",
	"spec: {selector: {}, strategy: {rollingUpdate: {}}, template: {}}",
	"spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}}, schedulingGates: [{}]}",
	"subsets: [{addresses: [{}], ports: [{}]}]",
	"endpoints: [{}]\nports: [{}]",
	"data: {a: b}",
	"status: {containerStatuses: [{state: {terminated: {}}}], initContainerStatuses: [{}]}",
}

// TestNames: each kind takes the names that Kubernetes documents for it.
func TestNames(t *testing.T) {
	labels := map[string]bool{"Namespace": true, "Service": true, "StatefulSet": true, "IPAddress": true} // no dots
	letters := map[string]bool{"Service": true, "IPAddress": true}                                        // no digit first; addresses are neither
	for _, d := range All(Config{}) {
		var dotted, digit bool
		if d.ValidateName == nil {
			dotted, digit = true, true // a DNS subdomain
		} else {
			dotted, digit = len(d.ValidateName("a.b", false)) == 0, len(d.ValidateName("1a", false)) == 0
		}
		if dotted == labels[d.Kind] || digit == letters[d.Kind] {
			t.Errorf("%s: dots allowed: %t, leading digits: %t", d, dotted, digit)
		}
	}
}

func TestEventTTL(t *testing.T) {
	for _, d := range All(Config{}) {
		if (d.TTL != nil) != (d.Kind == "Event") {
			t.Errorf("%s: only events expire", d)
		}
		if d.TTL != nil && d.TTL(d.New()) != time.Hour {
			t.Errorf("%s expire after %s", d, d.TTL(d.New()))
		}
	}
}

// TestCreateOnUpdate: these, and no others, are made by a PUT to a name that is free.
func TestCreateOnUpdate(t *testing.T) {
	want := []string{"clusterrolebindings", "clusterroles", "endpoints", "events", "events", "leases", "limitranges", "podtemplates", "priorityclasses",
		"rolebindings", "roles", "services"}
	var got []string
	for _, d := range All(Config{}) {
		if d.AllowCreateOnUpdate {
			got = append(got, d.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
