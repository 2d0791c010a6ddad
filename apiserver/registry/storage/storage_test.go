package storage

import (
	"testing"
	"time"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidateStorageClass(t *testing.T) {
	for _, c := range []struct {
		name, class string
		want        []string
	}{
		{"good", "{provisioner: example.com/disk}", nil},
		{"nobody", "{}", []string{"provisioner: Required value"}},
		{"bad name", "{provisioner: a b}", []string{"provisioner: Invalid value"}},
		{"policy", "{provisioner: a, reclaimPolicy: Recycle}", []string{`reclaimPolicy: Unsupported value: "Recycle"`}},
		{"mode", "{provisioner: a, volumeBindingMode: Later}", []string{`volumeBindingMode: Unsupported value: "Later"`}},
		{"empty key", `{provisioner: a, parameters: {"": b}}`, []string{"parameters: Invalid value"}},
		{"topology", "{provisioner: a, allowedTopologies: [{matchLabelExpressions: [{key: zone, values: []}]}]}", []string{"allowedTopologies[0].matchLabelExpressions[0].values: Required value"}},
		{"topology twice", "{provisioner: a, allowedTopologies: [{matchLabelExpressions: [{key: z, values: [a, a]}]}]}", []string{"values[1]: Duplicate value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			class := kindtest.From[storagev1.StorageClass](t, c.class)
			defaultStorageClass(class)
			kindtest.WantErrors(t, validateStorageClass(class), c.want...)
		})
	}
}

func TestStorageClassStaysAsItWasMade(t *testing.T) {
	old := kindtest.From[storagev1.StorageClass](t, "{provisioner: a, parameters: {x: y}, reclaimPolicy: Delete, volumeBindingMode: Immediate}")
	now := kindtest.From[storagev1.StorageClass](t, "{provisioner: b, parameters: {x: z}, reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer, allowVolumeExpansion: true}")
	kindtest.WantErrors(t, validateStorageClassUpdate(now, old), "updates to parameters are forbidden", "updates to provisioner are forbidden",
		"updates to reclaimPolicy are forbidden", "volumeBindingMode: Invalid value")
	now = old.DeepCopy()
	now.MountOptions = []string{"ro"}
	kindtest.WantErrors(t, validateStorageClassUpdate(now, old))
}

func TestDefaultClassIsMarked(t *testing.T) {
	class := kindtest.From[storagev1.StorageClass](t, `{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: p}`)
	if got, want := kindtest.Row(storageClassColumns(), class, time.Time{}, false), "fast (default) | p | Delete | Immediate | false | <unknown>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValidateAttributesClass(t *testing.T) {
	kindtest.WantErrors(t, validateAttributesClass(&storagev1.VolumeAttributesClass{}), "driverName: Required value", "parameters: Required value")
	old := kindtest.From[storagev1.VolumeAttributesClass](t, "{driverName: a, parameters: {x: y}}")
	kindtest.WantErrors(t, validateAttributesClass(old))
	now := kindtest.From[storagev1.VolumeAttributesClass](t, "{driverName: b, parameters: {x: z}}")
	kindtest.WantErrors(t, validateAttributesClassUpdate(now, old), "updates to driverName are forbidden", "updates to parameters are forbidden")
}

func TestValidateDriver(t *testing.T) {
	for _, c := range []struct {
		name, driver string
		want         []string
	}{
		{"good", "{metadata: {name: a.example.com}, spec: {}}", nil},
		{"policy", "{metadata: {name: a}, spec: {fsGroupPolicy: Never}}", []string{"spec.fsGroupPolicy: Unsupported value"}},
		{"mode", "{metadata: {name: a}, spec: {volumeLifecycleModes: [Never]}}", []string{"spec.volumeLifecycleModes: Unsupported value"}},
		{"short token", "{metadata: {name: a}, spec: {tokenRequests: [{audience: x, expirationSeconds: 1}]}}", []string{"may not specify a duration less than 10 minutes"}},
		{"twice", "{metadata: {name: a}, spec: {tokenRequests: [{audience: x}, {audience: x}]}}", []string{"audience: Duplicate value"}},
		{"haste", "{metadata: {name: a}, spec: {nodeAllocatableUpdatePeriodSeconds: 1}}", []string{"must be greater than or equal to 10 seconds"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := kindtest.From[storagev1.CSIDriver](t, c.driver)
			defaultDriver(d)
			kindtest.WantErrors(t, validateDriver(d), c.want...)
		})
	}
}

func TestValidateCSINode(t *testing.T) {
	good := kindtest.From[storagev1.CSINode](t, "spec: {drivers: [{name: a, nodeID: n, topologyKeys: [example.com/zone], allocatable: {count: 3}}]}")
	kindtest.WantErrors(t, validateCSINode(good))
	bad := kindtest.From[storagev1.CSINode](t, "spec: {drivers: [{name: a, nodeID: n}, {name: a, allocatable: {count: -1}}]}")
	kindtest.WantErrors(t, validateCSINode(bad), "spec.drivers[1].name: Duplicate value", "spec.drivers[1].nodeID: Required value", "allocatable.count: Invalid value: -1")
	moved := good.DeepCopy()
	moved.Spec.Drivers[0].NodeID = "m"
	kindtest.WantErrors(t, validateCSINodeUpdate(moved, good), "spec.drivers[0]: Invalid value")
	kindtest.WantErrors(t, validateCSINodeUpdate(&storagev1.CSINode{}, good))
}

func TestValidateStorageCapacity(t *testing.T) {
	old := kindtest.From[storagev1.CSIStorageCapacity](t, "{storageClassName: a, capacity: 1Gi, nodeTopology: {matchLabels: {a: b}}}")
	kindtest.WantErrors(t, validateStorageCapacity(old))
	now := kindtest.From[storagev1.CSIStorageCapacity](t, "{storageClassName: b, capacity: -1}")
	kindtest.WantErrors(t, validateStorageCapacity(now), "capacity: Invalid value")
	kindtest.WantErrors(t, validateStorageCapacityUpdate(now, old), "nodeTopology: Invalid value", "storageClassName: Invalid value")
}

func TestValidateAttachment(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{attacher: a.example.com, nodeName: n, source: {persistentVolumeName: v}}", nil},
		{"nothing", "{}", []string{"spec.attacher: Required value", "exactly one of", "spec.nodeName: Required value"}},
		{"both", "{attacher: a, nodeName: n, source: {persistentVolumeName: v, inlineVolumeSpec: {}}}", []string{"spec.source: Forbidden"}},
		{"inline of another kind", "{attacher: a, nodeName: n, source: {inlineVolumeSpec: {nfs: {server: s, path: /}}}}", []string{"only volumes of CSI drivers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateAttachment(kindtest.From[storagev1.VolumeAttachment](t, "spec: "+c.spec)), c.want...)
		})
	}
}
