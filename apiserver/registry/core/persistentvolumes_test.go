package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestValidatePersistentVolume(t *testing.T) {
	const good = "capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], "
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"host path", "{" + good + "hostPath: {path: /data}}", nil},
		{"nothing", "{}", []string{"spec.accessModes: Required value", "spec.capacity: Required value", "spec: Required value: must specify a volume type"}},
		{"two sources", "{" + good + "hostPath: {path: /a}, nfs: {server: s, path: /b}}", []string{"spec.nfs: Forbidden: may not specify more than 1 volume type"}},
		{"no such mode", "{capacity: {storage: 1}, accessModes: [Always], hostPath: {path: /a}}", []string{`spec.accessModes: Unsupported value: "Always"`}},
		{"one pod and more", "{capacity: {storage: 1}, accessModes: [ReadWriteOncePod, ReadWriteOnce], hostPath: {path: /a}}",
			[]string{"may not use ReadWriteOncePod with other access modes"}},
		{"no size", "{capacity: {storage: 0}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}", []string{"must be greater than zero"}},
		{"other capacity", "{capacity: {storage: 1, cpu: 1}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}", []string{`supported values: "storage"`}},
		{"a local volume is somewhere", "{" + good + "local: {path: /a}}", []string{"spec.nodeAffinity: Required value: Local volume requires node affinity"}},
		{"affinity without terms", "{" + good + "local: {path: /a}, nodeAffinity: {required: {}}}", []string{"must have at least one node selector term"}},
		{"affinity without anything", "{" + good + "local: {path: /a}, nodeAffinity: {}}", []string{"must specify required node constraints"}},
		{"climbing", "{" + good + "hostPath: {path: /a/../b}}", []string{"must not contain '..'"}},
		{"recycling the root", "{" + good + "hostPath: {path: /}, persistentVolumeReclaimPolicy: Recycle}", []string{"may not be 'recycle' for a hostPath mount of '/'"}},
		{"claim without name", "{" + good + "hostPath: {path: /a}, claimRef: {namespace: a}}", []string{"spec.claimRef.name: Required value"}},
		{"relative export", "{" + good + "nfs: {server: s, path: b}}", []string{"spec.nfs.path: Invalid value"}},
		{"driver", "{" + good + "csi: {driver: d}}", []string{"spec.csi.volumeHandle: Required value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := kindtest.From[corev1.PersistentVolume](t, "spec: "+c.spec)
			defaultPersistentVolume(v)
			kindtest.WantErrors(t, validatePersistentVolume(v), c.want...)
		})
	}
}

func TestPersistentVolumeStaysWhatItIs(t *testing.T) {
	old := kindtest.From[corev1.PersistentVolume](t, "spec: {volumeMode: Filesystem, hostPath: {path: /a}}")
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"an affinity may be added", "{volumeMode: Filesystem, hostPath: {path: /a}, nodeAffinity: {required: {nodeSelectorTerms: [{}]}}}", nil},
		{"it may grow", "{volumeMode: Filesystem, hostPath: {path: /a}, capacity: {storage: 5}}", nil},
		{"source", "{volumeMode: Filesystem, hostPath: {path: /b}}", []string{"spec.persistentvolumesource is immutable after creation"}},
		{"mode", "{volumeMode: Block, hostPath: {path: /a}}", []string{"spec.volumeMode: Invalid value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validatePersistentVolumeUpdate(kindtest.From[corev1.PersistentVolume](t, "spec: "+c.spec), old), c.want...)
		})
	}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#phase-transition-timestamp
func TestPhaseTransitionTime(t *testing.T) {
	was, now := metav1.Unix(1000, 0), time.Unix(2000, 0)
	old := &corev1.PersistentVolume{Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable, LastPhaseTransitionTime: &was}}
	same := old.DeepCopy()
	same.Status.LastPhaseTransitionTime = nil
	transition(same, old, func() time.Time { return now })
	if !same.Status.LastPhaseTransitionTime.Equal(&was) {
		t.Errorf("the phase is the same, the time is %v", same.Status.LastPhaseTransitionTime)
	}
	other := old.DeepCopy()
	other.Status.Phase = corev1.VolumeBound
	transition(other, old, func() time.Time { return now })
	if !other.Status.LastPhaseTransitionTime.Time.Equal(now) {
		t.Errorf("the phase changed, the time is %v", other.Status.LastPhaseTransitionTime)
	}
}

func TestValidateClaim(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}", nil},
		{"nothing", "{}", []string{"at least 1 access mode is required", "spec.resources[storage]: Required value"}},
		{"nothing of it", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 0}}}", []string{"must be greater than zero"}},
		{"class", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, storageClassName: A_b}", []string{"spec.storageClassName: Invalid value"}},
		{"no class", `{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, storageClassName: ""}`, nil},
		{"mode", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, volumeMode: Tape}", []string{`spec.volumeMode: Unsupported value: "Tape"`}},
		{"selector", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, selector: {matchExpressions: [{key: a, operator: Maybe}]}}",
			[]string{"not a valid selector operator"}},
		{"source", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, dataSource: {kind: Pod, name: a}}",
			[]string{"spec.dataSource: Invalid value", "spec.dataSourceRef: Invalid value"}},
		{"limit", "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}, limits: {storage: 1Gi}}}", []string{"must be greater than or equal to storage request"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			claim := kindtest.From[corev1.PersistentVolumeClaim](t, "spec: "+c.spec)
			defaultClaim(claim)
			kindtest.WantErrors(t, validateClaim(claim), c.want...)
		})
	}
}

func TestValidateClaimUpdate(t *testing.T) {
	const (
		pending = "{spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Pending}}"
		bound   = "{spec: {resources: {requests: {storage: 2Gi}}, volumeName: v, storageClassName: a}, status: {phase: Bound, capacity: {storage: 1Gi}}}"
	)
	for _, c := range []struct {
		name, old, now string
		want           []string
	}{
		{"a volume is found", pending, "{spec: {resources: {requests: {storage: 2Gi}}, volumeName: v}}", nil},
		{"a class is found", pending, "{spec: {resources: {requests: {storage: 2Gi}}, storageClassName: a}}", nil},
		{"who has no volume cannot grow", pending, "{spec: {resources: {requests: {storage: 3Gi}}}}", []string{"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims; changed: resources"}},
		{"growth", bound, "{spec: {resources: {requests: {storage: 3Gi}}, volumeName: v, storageClassName: a}}", nil},
		{"growth given up", bound, "{spec: {resources: {requests: {storage: 1Gi}}, volumeName: v, storageClassName: a}}", nil},
		{"shrinking", bound, "{spec: {resources: {requests: {storage: 1Mi}}, volumeName: v, storageClassName: a}}", []string{"field can not be less than status.capacity"}},
		{"another volume", bound, "{spec: {resources: {requests: {storage: 2Gi}}, volumeName: w, storageClassName: a}}", []string{"changed: volumeName"}},
		{"another class", bound, "{spec: {resources: {requests: {storage: 2Gi}}, volumeName: v, storageClassName: b}}", []string{"changed: storageClassName"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, now := kindtest.From[corev1.PersistentVolumeClaim](t, c.old), kindtest.From[corev1.PersistentVolumeClaim](t, c.now)
			kindtest.WantErrors(t, validateClaimUpdate(now, old), c.want...)
		})
	}
}

func TestStorageRows(t *testing.T) {
	claim := kindtest.From[corev1.PersistentVolumeClaim](t, `{metadata: {name: data}, spec: {volumeName: v, storageClassName: fast, volumeMode: Filesystem},
	  status: {phase: Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce]}}`)
	got := kindtest.Row(claimColumns(), claim, time.Time{}, true)
	if diff := cmp.Diff("data | Bound | v | 1Gi | RWO,RWX | fast | <unset> | <unknown> | Filesystem", got); diff != "" {
		t.Error(diff)
	}
	v := kindtest.From[corev1.PersistentVolume](t, `{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOncePod], persistentVolumeReclaimPolicy: Retain,
	  claimRef: {namespace: a, name: b}}, status: {phase: Released}}`)
	got = kindtest.Row(persistentVolumeColumns(), v, time.Time{}, false)
	if diff := cmp.Diff("v | 1Gi | RWOP | Retain | Released | a/b |  | <unset> |  | <unknown>", got); diff != "" {
		t.Error(diff)
	}
}

func TestStorageObjectsAreProtectedFromTheStart(t *testing.T) {
	claim, v := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
	for range 2 { // once is enough
		prepareClaimCreate(claim)
		prepareVolumeCreate(v, time.Unix(2000, 0))
	}
	if diff := cmp.Diff([]string{"kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"}, append(claim.Finalizers, v.Finalizers...)); diff != "" {
		t.Error(diff)
	}
}
