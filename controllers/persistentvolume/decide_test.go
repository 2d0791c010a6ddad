package persistentvolume

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/yaml"
)

func from[T any](t *testing.T, text string) *T {
	t.Helper()
	if text == "" {
		return nil
	}
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("reading YAML: %v\n%s", err, text)
	}
	return obj
}

const (
	claimMeta = "metadata: {namespace: a, name: c, uid: u}"
	asks      = "accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}"
	has       = "accessModes: [ReadWriteOnce, ReadOnlyMany]"
)

// The cases follow https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding.
func TestDecideClaim(t *testing.T) {
	volume := func(name, size, more string) string {
		return "{metadata: {name: " + name + ", labels: {disk: " + name + "}}, spec: {" + has + ", capacity: {storage: " + size + "}" + more + "}, status: {phase: Available}}"
	}
	cases := []struct {
		name, reason          string
		claim, class, dflt    string
		named                 string
		volumes, pods         []string
		want, event, contains string
	}{
		{
			name: "smallest fit", reason: "no more than needed is given away",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("big", "9Gi", ""), volume("fit", "2Gi", ""), volume("small", "1Gi", "")},
			want: "bind to fit",
		},
		{
			name: "equal fits", reason: "the same choice from the same state",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("b", "2Gi", ""), volume("a", "2Gi", "")},
			want: "bind to a",
		},
		{
			name: "selector", reason: "labels of the volume decide",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: "", selector: {matchLabels: {disk: big}}}}`, volumes: []string{volume("big", "9Gi", ""), volume("fit", "2Gi", "")},
			want: "bind to big",
		},
		{
			name: "mode of access", reason: "all that are asked for must be offered",
			claim: "{" + claimMeta + `, spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1}}, storageClassName: ""}}`, volumes: []string{volume("a", "2Gi", "")},
			want: "phase Pending", event: failedBinding, contains: "no persistent volumes available for this claim and no storage class is set",
		},
		{
			name: "volume mode", reason: "a device is no file system",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: "", volumeMode: Block}}`, volumes: []string{volume("a", "2Gi", "")},
			want: "phase Pending", event: failedBinding,
		},
		{
			name: "set aside", reason: "a volume that names the claim wins, although a smaller one is free",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("fit", "2Gi", ""), volume("mine", "9Gi", ", claimRef: {namespace: a, name: c}")},
			want: "bind to mine",
		},
		{
			name: "set aside for another", reason: "and is not free",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("other", "2Gi", ", claimRef: {namespace: a, name: d}")},
			want: "phase Pending", event: failedBinding,
		},
		{
			name: "of an earlier claim", reason: "a claim that was made anew is another claim",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("old", "2Gi", ", claimRef: {namespace: a, name: c, uid: other}")},
			want: "phase Pending", event: failedBinding,
		},
		{
			name: "asked for by name", reason: "the user has chosen",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: "", volumeName: v}}`, named: volume("v", "5Gi", ""),
			want: "bind to v",
		},
		{
			name: "asked for by name, too small", reason: "the choice must be possible",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: "", volumeName: v}}`, named: volume("v", "1Gi", ""),
			want: "phase Pending", event: volumeMismatch, contains: `Cannot bind to requested volume "v": requested PV is too small`,
		},
		{
			name: "asked for by name, not there", reason: "it may still come",
			claim: "{" + claimMeta + `, spec: {` + asks + `, volumeName: v}}`, want: "phase Pending",
		},
		{
			name: "asked for by name, another's", reason: "first come, first served",
			claim: "{" + claimMeta + `, spec: {` + asks + `, volumeName: v}}`, named: volume("v", "5Gi", ", claimRef: {namespace: b, name: c, uid: z}"),
			want: "phase Pending", event: failedBinding, contains: `volume "v" already bound to a different claim.`,
		},
		{
			name: "default class", reason: "also of claims that are older than the class",
			claim: "{" + claimMeta + `, spec: {` + asks + `}}`, dflt: "{metadata: {name: std}, provisioner: p}",
			want: "take the default class std, phase Pending",
		},
		{
			name: "no class at all", reason: "an empty name is a wish too",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: ""}}`, dflt: "{metadata: {name: std}, provisioner: p}",
			want: "phase Pending", event: failedBinding,
		},
		{
			name: "class without a trace", reason: "it may come",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`,
			want:  "phase Pending", event: provisioningFailed, contains: `storageclass.storage.k8s.io "x" not found`,
		},
		{
			name: "provisioner", reason: "somebody else makes the volume",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`, class: "{metadata: {name: x}, provisioner: example.com/p}",
			want: "ask example.com/p for a volume, phase Pending", event: externalProvisioning, contains: "external provisioner 'example.com/p'",
		},
		{
			name: "no provisioner", reason: "nobody makes volumes of this class",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`, class: "{metadata: {name: x}, provisioner: kubernetes.io/no-provisioner}",
			want: "phase Pending", event: provisioningFailed, contains: "no volume plugin matched name: kubernetes.io/no-provisioner",
		},
		{
			name: "waits", reason: "the class wants to know where the pod runs",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`, class: "{metadata: {name: x}, provisioner: p, volumeBindingMode: WaitForFirstConsumer}",
			volumes: []string{volume("a", "2Gi", ", storageClassName: x")},
			want:    "phase Pending", event: waitForFirstConsumer, contains: "waiting for first consumer to be created before binding",
		},
		{
			name: "waits for a pod", reason: "and says for which",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`, class: "{metadata: {name: x}, provisioner: p, volumeBindingMode: WaitForFirstConsumer}",
			pods: []string{"{metadata: {name: web-0}}"},
			want: "phase Pending", event: waitForPodScheduled, contains: "waiting for pod web-0 to be scheduled",
		},
		{
			name: "placed by hand", reason: "the scheduler never sees the pod, so that no node is chosen for the claim",
			claim: "{" + claimMeta + `, spec: {` + asks + `, storageClassName: x}}`, class: "{metadata: {name: x}, provisioner: p, volumeBindingMode: WaitForFirstConsumer}",
			pods: []string{"{metadata: {name: web-0}, spec: {nodeName: n1}}"},
			want: "phase Pending", event: waitForFirstConsumer, contains: "pod web-0 names its node itself",
		},
		{
			name: "waited", reason: "the scheduler has chosen a node",
			claim: `{metadata: {namespace: a, name: c, annotations: {volume.kubernetes.io/selected-node: n1}}, spec: {` + asks + `, storageClassName: x}}`,
			class: "{metadata: {name: x}, provisioner: p, volumeBindingMode: WaitForFirstConsumer}",
			want:  "ask p for a volume, phase Pending", event: externalProvisioning,
		},
		{
			name: "lost", reason: "the volume was deleted by force",
			claim: `{metadata: {annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {` + asks + `, volumeName: v}}`,
			want:  "phase Lost", event: claimLost, contains: "Data on the volume is lost!",
		},
		{
			name: "misbound", reason: "a volume belongs to one",
			claim: `{metadata: {uid: u, namespace: a, name: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {` + asks + `, volumeName: v}}`,
			named: volume("v", "5Gi", ", claimRef: {namespace: b, name: c, uid: z}"),
			want:  "phase Lost", event: claimMisbound,
		},
		{
			name: "asks for more", reason: "who made the volume has to make it larger",
			claim: `{metadata: {uid: u, namespace: a, name: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {` + asks + `, volumeName: v}, status: {phase: Bound}}`,
			named: volume("v", "1Gi", ", claimRef: {namespace: a, name: c, uid: u}"),
			want:  "bind to v", event: externalExpanding, contains: "waiting for an external controller to expand this PVC",
		},
		{
			name: "found again", reason: "the volume was restored without its claim",
			claim: `{metadata: {uid: u, namespace: a, name: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {` + asks + `, volumeName: v}, status: {phase: Lost}}`,
			named: volume("v", "5Gi", ""), want: "bind to v",
		},
		{
			name: "deleted", reason: "nothing new is begun",
			claim: `{metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {` + asks + `, storageClassName: ""}}`, volumes: []string{volume("a", "2Gi", "")},
			want: "phase Pending",
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o := claimView{
				Claim: from[corev1.PersistentVolumeClaim](t, tc.claim), Class: from[storagev1.StorageClass](t, tc.class),
				Default: from[storagev1.StorageClass](t, tc.dflt), Named: from[corev1.PersistentVolume](t, tc.named),
			}
			for _, v := range tc.volumes {
				o.Volumes = append(o.Volumes, from[corev1.PersistentVolume](t, v))
			}
			for _, p := range tc.pods {
				o.Pods = append(o.Pods, from[corev1.Pod](t, p))
			}
			plan := decideClaim(o)
			if got := plan.String(); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
			checkEvent(t, plan.Event, tc.event, tc.contains)
		})
	}
}

func checkEvent(t *testing.T, got *Happening, reason, contains string) {
	t.Helper()
	switch {
	case got == nil && reason != "":
		t.Errorf("no event, want %s", reason)
	case got != nil && (got.Reason != reason || !strings.Contains(got.Message, contains)):
		t.Errorf("event %s %q, want %s %q", got.Reason, got.Message, reason, contains)
	}
}

// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#phase and #reclaiming.
func TestDecideVolume(t *testing.T) {
	const ref = "claimRef: {namespace: a, name: c, uid: u}"
	cases := []struct {
		name, reason, volume, claim, want, event string
		wake                                     bool
	}{
		{name: "free", reason: "nobody has it", volume: "spec: {}", want: "phase Available"},
		{name: "set aside", reason: "its claim is still to come", volume: "spec: {claimRef: {namespace: a, name: c}}", want: "phase Available"},
		{name: "set aside, claim there", reason: "the claim binds it", volume: "spec: {claimRef: {namespace: a, name: c}}", claim: "{}", want: "phase Available", wake: true},
		{name: "bound", reason: "both sides agree", volume: "metadata: {name: v}\nspec: {" + ref + "}",
			claim: `{metadata: {annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {volumeName: v}, status: {phase: Bound}}`, want: "phase Bound"},
		{name: "halfway", reason: "the claim does not know yet", volume: "metadata: {name: v}\nspec: {" + ref + "}\nstatus: {phase: Pending}", claim: "{spec: {}}", want: "phase Pending", wake: true},
		{name: "retained", reason: "data is kept for somebody to look at", volume: "spec: {" + ref + ", persistentVolumeReclaimPolicy: Retain}\nstatus: {phase: Bound}", want: "phase Released"},
		{name: "deleted by its maker", reason: "who made it sees that it is released",
			volume: "metadata: {annotations: {pv.kubernetes.io/provisioned-by: p}}\nspec: {" + ref + ", persistentVolumeReclaimPolicy: Delete}\nstatus: {phase: Bound}", want: "phase Released"},
		{name: "made by hand", reason: "nobody knows how to delete it", volume: "spec: {" + ref + ", persistentVolumeReclaimPolicy: Delete}\nstatus: {phase: Bound}",
			want: "phase Failed", event: volumeFailedDelete},
		{name: "recycled", reason: "not supported, and said so", volume: "spec: {" + ref + ", persistentVolumeReclaimPolicy: Recycle}\nstatus: {phase: Bound}",
			want: "phase Failed", event: volumeFailedRecycle},
		{name: "claim gone before it knew", reason: "nobody used the volume",
			volume: "metadata: {annotations: {pv.kubernetes.io/bound-by-controller: \"yes\"}}\nspec: {" + ref + ", persistentVolumeReclaimPolicy: Delete}\nstatus: {phase: Available}", want: "phase Available, unbind"},
		{name: "claim elsewhere", reason: "the volume was given in vain", volume: "metadata: {name: v}\nspec: {" + ref + "}", claim: "{spec: {volumeName: w}}", want: "phase Available, unbind"},
		{name: "made in vain", reason: "the claim took another meanwhile",
			volume: "metadata: {name: v, annotations: {pv.kubernetes.io/provisioned-by: p}}\nspec: {" + ref + ", persistentVolumeReclaimPolicy: Delete}", claim: "{spec: {volumeName: w}}", want: "phase Released"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			plan := decideVolume(volumeView{Volume: from[corev1.PersistentVolume](t, tc.volume), Claim: from[corev1.PersistentVolumeClaim](t, tc.claim)})
			if got := plan.String(); got != tc.want || plan.Wake != tc.wake {
				t.Errorf("%s: got %q, wake %v, want %q, %v", tc.reason, got, plan.Wake, tc.want, tc.wake)
			}
			checkEvent(t, plan.Event, tc.event, "")
		})
	}
}
