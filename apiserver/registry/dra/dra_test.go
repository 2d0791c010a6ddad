package dra

import (
	"strings"
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name, devices, reason string
		want                  []string
	}{
		{"good", "{requests: [{name: a, exactly: {deviceClassName: gpu, selectors: [{cel: {expression: 'true'}}], tolerations: [{key: k}]}}, {name: b, firstAvailable: [{name: x, deviceClassName: gpu}, {name: y, deviceClassName: gpu, allocationMode: All}]}], constraints: [{requests: [a, b/x], matchAttribute: dra.example.com/model}], config: [{requests: [a], opaque: {driver: dra.example.com, parameters: {kind: P}}}]}", "one of each", nil},
		{"nothing", "{}", "a claim may ask for nothing", nil},
		{"requests", "{requests: [{}, {name: a, exactly: {}}, {name: a, exactly: {deviceClassName: g, count: -1}}, {name: B, exactly: {deviceClassName: g, allocationMode: All, count: 1}}, {name: c, exactly: {deviceClassName: g, allocationMode: Some}}]}", "named, of a class, so many",
			[]string{"requests[0].name: Required", "requests[0]: Invalid value: \"\": exactly one of `exactly` or `firstAvailable` is required", "requests[1].exactly.deviceClassName: Required", "requests[2].name: Duplicate",
				"requests[2].exactly.count: Invalid value: -1", "requests[3].name: Invalid value: \"B\"", "requests[3].exactly.count: Invalid value: 1", "requests[4].exactly.allocationMode: Unsupported value: \"Some\""}},
		{"selectors", "{requests: [{name: a, exactly: {deviceClassName: g, selectors: [{}, {cel: {expression: ' '}}], tolerations: [{}, {operator: Exists, value: v}, {key: a, operator: Near, effect: Bang}]}}]}", "expressions and tolerations",
			[]string{"selectors[0].cel: Required", "selectors[1].cel.expression: Required", "tolerations[0].key: Required", "tolerations[1].value: Invalid", "tolerations[2].operator: Unsupported", "tolerations[2].effect: Unsupported"}},
		{"constraints", "{requests: [{name: a, exactly: {deviceClassName: g}}], constraints: [{}, {requests: [b, a, a], matchAttribute: model}, {matchAttribute: a.b/c-d, distinctAttribute: a.b/c}]}", "of requests that there are",
			[]string{"constraints[0]: Required value", "constraints[1].requests[0]: Invalid value: \"b\"", "constraints[1].requests[2]: Duplicate", "constraints[1].matchAttribute: Invalid value: \"model\": must include a domain", "constraints[2]: Invalid value: \"a.b/c-d\": exactly one of"}},
		{"config", "{config: [{}, {opaque: {driver: A_b, parameters: []}}, {opaque: {driver: a}}]}", "objects for drivers",
			[]string{"config[0].opaque: Required", "config[1].opaque.driver: Invalid", "config[1].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object", "config[2].opaque.parameters: Required"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			claim := kindtest.From[resourcev1.ResourceClaim](t, "spec: {devices: "+c.devices+"}")
			d := claims()
			d.Default(claim)
			kindtest.WantErrors(t, d.Validate(t.Context(), claim), c.want...)
		})
	}
	d := claims()
	kindtest.WantErrors(t, d.ValidateUpdate(t.Context(), kindtest.From[resourcev1.ResourceClaim](t, "spec: {devices: {requests: [{name: a}]}}"), &resourcev1.ResourceClaim{}), "spec: Invalid value")
}

func TestClaimStatus(t *testing.T) {
	const allocation = "allocation: {devices: {results: [{request: a, driver: d, pool: p, device: x}]}}"
	free := &resourcev1.ResourceClaim{}
	allocated := kindtest.From[resourcev1.ResourceClaim](t, "status: {"+allocation+"}")
	reserved := kindtest.From[resourcev1.ResourceClaim](t, "status: {"+allocation+", reservedFor: [{resource: pods, name: a, uid: u}]}")
	kindtest.WantErrors(t, validateClaimStatus(allocated, free))
	kindtest.WantErrors(t, validateClaimStatus(reserved, allocated))
	other := allocated.DeepCopy()
	other.Status.Allocation.Devices.Results[0].Device = "y"
	kindtest.WantErrors(t, validateClaimStatus(other, allocated), "status.allocation: Invalid value: \"<value omitted>\": field is immutable")
	lost := reserved.DeepCopy()
	lost.Status.Allocation = nil
	kindtest.WantErrors(t, validateClaimStatus(lost, reserved), "status.reservedFor: Forbidden: may not be specified when `allocated` is not set")
	twice := reserved.DeepCopy()
	twice.Status.ReservedFor = append(twice.Status.ReservedFor, twice.Status.ReservedFor[0], resourcev1.ResourceClaimConsumerReference{})
	twice.DeletionTimestamp = &metav1.Time{}
	kindtest.WantErrors(t, validateClaimStatus(twice, reserved), "reservedFor[1].uid: Duplicate", "reservedFor[2].resource: Required", "reservedFor[2].name: Required", "reservedFor[2].uid: Required", "new reservations may not be added")
	for want, c := range map[string]*resourcev1.ResourceClaim{"pending": free, "allocated": allocated, "allocated,reserved": reserved, "deleted,allocated,reserved": twice} {
		if got := printState(c); got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
}

func TestSlices(t *testing.T) {
	const pool = "driver: d.example.com, pool: {name: p/q, resourceSliceCount: 1}"
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "{" + pool + ", nodeName: n, devices: [{name: gpu-0, attributes: {model: {string: a}, d.example.com/version: {version: 1.2.3-rc.1}, ids: {ints: [1, 2]}}, capacity: {memory: {value: 1Gi}}, taints: [{key: k, effect: NoSchedule}]}]}", "a node's device", nil},
		{"nothing", "{}", "who, where, what", []string{"spec.driver: Required", "spec.pool.name: Required", "spec.pool.resourceSliceCount: Invalid value: 0", "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"}},
		{"where", "{" + pool + ", nodeName: '', allNodes: false, nodeSelector: {nodeSelectorTerms: []}}", "one way", []string{"spec.nodeName: Invalid value: \"\"", "spec.allNodes: Invalid value: false", "nodeSelectorTerms: Invalid value: 0", "exactly one of"}},
		{"devices", "{" + pool + ", allNodes: true, devices: [{name: A}, {name: a, attributes: {'a-b': {int: 1}, b: {}, c: {int: 1, bool: true}, d: {version: v1}}, capacity: {e: {value: -1}}}, {name: a, taints: [{key: k k, effect: Boo}]}]}", "names and values",
			[]string{"devices[0].name: Invalid value: \"A\"", "attributes[a-b]: Invalid value: \"a-b\": must be a valid C identifier", "attributes[b]: Invalid value: 0: exactly one value", "attributes[c]: Invalid value: 2: exactly one value",
				"attributes[d].version: Invalid value: \"v1\"", "capacity[e].value: Invalid value: \"-1\"", "devices[2].name: Duplicate", "devices[2].taints[0].key: Invalid", "devices[2].taints[0].effect: Unsupported value: \"Boo\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateSlice(kindtest.From[resourcev1.ResourceSlice](t, "spec: "+c.spec)), c.want...)
		})
	}
	one := kindtest.From[resourcev1.ResourceSlice](t, "spec: {"+pool+", nodeName: n}")
	two := one.DeepCopy()
	two.Spec.Driver, two.Spec.Pool.Name, *two.Spec.NodeName = "e", "r", "m"
	kindtest.WantErrors(t, validateSliceUpdate(two, one), "spec.driver: Invalid", "spec.pool.name: Invalid", "spec.nodeName: Invalid")
	many := one.DeepCopy()
	many.Spec.Devices = make([]resourcev1.Device, 129)
	kindtest.WantErrors(t, validateSlice(many), "spec.devices: Too many: 129: must have at most 128 items")
}

func TestClassesAndRules(t *testing.T) {
	kindtest.WantErrors(t, validateClass(kindtest.From[resourcev1.DeviceClass](t, "spec: {extendedResourceName: example.com/gpu, config: [{opaque: {driver: d, parameters: {}}}]}")))
	kindtest.WantErrors(t, validateClass(kindtest.From[resourcev1.DeviceClass](t, "spec: {extendedResourceName: gpu, selectors: [{}]}")), "spec.extendedResourceName: Invalid value: \"gpu\"", "spec.selectors[0].cel: Required")
	kindtest.WantErrors(t, validateTaintRule(kindtest.From[resourcev1.DeviceTaintRule](t, "spec: {deviceSelector: {driver: d, pool: p, device: x}, taint: {key: k, effect: NoExecute}}")))
	kindtest.WantErrors(t, validateTaintRule(kindtest.From[resourcev1.DeviceTaintRule](t, "spec: {deviceSelector: {driver: '', pool: A, device: B}, taint: {key: k}}")),
		"driver: Required", "pool: Invalid", "device: Invalid", "spec.taint.effect: Required")
}

func TestColumns(t *testing.T) {
	var cells []string
	slice := kindtest.From[resourcev1.ResourceSlice](t, "{metadata: {name: s}, spec: {driver: d, nodeName: m, pool: {name: p}}}")
	for _, c := range resourceSlices().Columns {
		cells = append(cells, c.Value(slice, time.Now()).(string))
	}
	if got, want := strings.Join(cells, " | "), "s | m | d | p | <unknown>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
