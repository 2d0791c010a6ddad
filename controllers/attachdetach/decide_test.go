package attachdetach

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/claims"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const unique = corev1.UniqueVolumeName("kubernetes.io/csi/disk.example.com^h1")

func volume() *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v1"}, Spec: corev1.PersistentVolumeSpec{
		AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: "h1"}},
	}}
}

// node is ready and managed; it lists what is attached and what is in use.
func node(change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Annotations: map[string]string{claims.ControllerAttaches: "true"}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

func lists(n *corev1.Node)    { n.Status.VolumesAttached = []corev1.AttachedVolume{{Name: unique}} }
func uses(n *corev1.Node)     { n.Status.VolumesInUse = []corev1.UniqueVolumeName{unique} }
func silent(n *corev1.Node)   { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
func foreign(n *corev1.Node)  { n.Annotations = nil }
func shutDown(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService}} }

// attachment is of v1 to n1.
func attachment(change ...func(*storagev1.VolumeAttachment)) *storagev1.VolumeAttachment {
	name := "v1"
	a := &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{claims.AttachedAs: string(unique)}},
		Spec:       storagev1.VolumeAttachmentSpec{NodeName: "n1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &name}},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

func attached(a *storagev1.VolumeAttachment) { a.Status.Attached = true }
func going(a *storagev1.VolumeAttachment)    { a.DeletionTimestamp = &metav1.Time{Time: now} }
func broken(a *storagev1.VolumeAttachment) {
	a.Status.AttachError = &storagev1.VolumeError{Message: "no slot"}
}

func asked(ago time.Duration) func(*storagev1.VolumeAttachment) {
	return func(a *storagev1.VolumeAttachment) {
		a.Annotations[claims.DetachRequested] = now.Add(-ago).Format(time.RFC3339)
	}
}

func TestDecide(t *testing.T) {
	all := func(a ...*storagev1.VolumeAttachment) []*storagev1.VolumeAttachment { return a }
	wanted := []wish{{Volume: volume(), Name: unique, Pods: []*corev1.Pod{{}}}}
	elsewhere := []wish{{Volume: volume(), Name: unique, Pods: []*corev1.Pod{{}}, Elsewhere: "n2"}}
	used := []wish{{Volume: volume(), Name: unique, Pods: []*corev1.Pod{{}}, Elsewhere: "n2", Users: []string{"p", "q"}}}
	const multi = `FailedAttachVolume: Multi-Attach error for volume "v1" Volume is already `
	for _, tc := range []struct {
		name, reason string
		view         view
		want         string
		events       []string
		again        time.Duration
	}{
		{"wanted", "a pod came", view{Node: node(), Wanted: wanted}, "attach v1", nil, 0},
		{"pending", "its attacher is at it", view{Node: node(), Wanted: wanted, Attachments: all(attachment())}, "nothing", nil, 0},
		{"attached", "now the agent may know", view{Node: node(), Wanted: wanted, Attachments: all(attachment(attached))}, "report 1 attached",
			[]string{`SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "v1" `}, 0},
		{"told", "all is as it should be", view{Node: node(lists, uses), Wanted: wanted, Attachments: all(attachment(attached))}, "nothing", nil, 0},
		{"failed", "people read why", view{Node: node(), Wanted: wanted, Attachments: all(attachment(broken))}, "nothing",
			[]string{`FailedAttachVolume: AttachVolume.Attach failed for volume "v1" : no slot`}, 0},
		{"elsewhere", "it can be on one node only, and goes there or is on its way from there", view{Node: node(), Wanted: elsewhere}, "nothing",
			[]string{multi + "exclusively attached to one node and can't be attached to another"}, time.Minute},
		{"used elsewhere", "by whom is of use", view{Node: node(), Wanted: used}, "nothing", []string{multi + "used by pod(s) p, q"}, time.Minute},
		{"unwanted", "the clock starts before anything else happens", view{Node: node(lists, uses), Attachments: all(attachment(attached))}, "wait for the agent to let go of v1", nil, 0},
		{"in use", "the agent unmounts at its own pace", view{Node: node(lists, uses), Attachments: all(attachment(attached, asked(time.Hour)))}, "nothing", nil, 0},
		{"let go", "off the list first", view{Node: node(lists), Attachments: all(attachment(attached, asked(time.Second)))}, "report 0 attached; detach v1", nil, 0},
		{"never attached", "nobody needs it any more", view{Node: node(), Attachments: all(attachment(asked(0)))}, "detach v1", nil, 0},
		{"wanted again", "it is still on the list", view{Node: node(lists, uses), Wanted: wanted, Attachments: all(attachment(attached, asked(time.Minute)))}, "keep v1", nil, 0},
		{"wanted too late", "it is off the list: another leader may be about to delete it", view{Node: node(), Wanted: wanted, Attachments: all(attachment(attached, asked(time.Minute)))}, "detach v1", nil, 0},
		{"being detached", "a new one is made when this one is gone", view{Node: node(lists), Wanted: wanted, Attachments: all(attachment(attached, going))}, "report 0 attached", nil, 0},
		{"silent", "six minutes from when it was asked", view{Node: node(lists, uses, silent), Attachments: all(attachment(attached, asked(time.Minute)))}, "nothing", nil, 5 * time.Minute},
		{"silent for long", "nobody waits forever for a dead machine", view{Node: node(lists, uses, silent), Attachments: all(attachment(attached, asked(6*time.Minute)))}, "report 0 attached; detach by force v1", nil, 0},
		{"out of service", "an administrator says that nothing runs there", view{Node: node(lists, uses, silent, shutDown), Attachments: all(attachment(attached, asked(0)))}, "report 0 attached; detach by force v1", nil, 0},
		{"out of service, wanted", "its pods go first", view{Node: node(lists, uses, shutDown), Wanted: wanted, Attachments: all(attachment(attached))}, "nothing", nil, 0},
		{"node gone", "nobody can say what is mounted there", view{Attachments: all(attachment(attached))}, "wait for the agent to let go of v1", nil, 0},
		{"node gone for a while", "the same patience", view{Attachments: all(attachment(attached, asked(2*time.Minute)))}, "nothing", nil, 4 * time.Minute},
		{"node gone for long", "the volume is needed elsewhere", view{Attachments: all(attachment(attached, asked(time.Hour)))}, "detach by force v1", nil, 0},
		{"not ours", "such a node attaches itself", view{Node: node(foreign, lists), Wanted: wanted}, "nothing", nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.view.Now = now
			p := decide(tc.view)
			var events []string
			for _, e := range p.Events {
				events = append(events, e.Reason+": "+e.Message)
			}
			if p.String() != tc.want || p.Again != tc.again {
				t.Errorf("%s: plan is %q again in %v, want %q in %v", tc.reason, p, p.Again, tc.want, tc.again)
			}
			if diff := cmp.Diff(tc.events, events); diff != "" {
				t.Errorf("%s: events (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// What others have put on the list is theirs.
func TestReportKeepsOthers(t *testing.T) {
	n := node(func(n *corev1.Node) {
		n.Status.VolumesAttached = []corev1.AttachedVolume{{Name: "kubernetes.io/other/x"}, {Name: "kubernetes.io/csi/gone^x"}}
	})
	got := decide(view{Node: n, Wanted: []wish{{Volume: volume(), Name: unique}}, Attachments: []*storagev1.VolumeAttachment{attachment(attached)}, Now: now})
	want := []corev1.AttachedVolume{{Name: unique}, {Name: "kubernetes.io/other/x"}}
	if diff := cmp.Diff(want, got.List); diff != "" {
		t.Errorf("list (-want +got)\n%s", diff)
	}
}
