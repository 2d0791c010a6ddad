package attachdetach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
)

const (
	// unmountPatience is how long a node that is not ready may keep a volume that nobody there wants.
	unmountPatience = 6 * time.Minute
	// exclusiveRetry is when a volume that is elsewhere is looked for again, if no event tells.
	exclusiveRetry = time.Minute
)

// wish is a volume that pods on the node want.
type wish struct {
	Volume    *corev1.PersistentVolume
	Name      corev1.UniqueVolumeName
	Pods      []*corev1.Pod
	Elsewhere string   // another node that has the volume, which only one can have
	Users     []string // pods there
}

// view is what is decided from about one node.
type view struct {
	Node        *corev1.Node // nil: there is none
	Wanted      []wish
	Attachments []*storagev1.VolumeAttachment // ours
	Now         time.Time
}

// want adds a pod's wish.
func (o *view) want(v *corev1.PersistentVolume, p *corev1.Pod) {
	w := o.wish(claims.UniqueName(v.Spec.CSI))
	if w == nil {
		o.Wanted = append(o.Wanted, wish{Volume: v, Name: claims.UniqueName(v.Spec.CSI)})
		w = &o.Wanted[len(o.Wanted)-1]
	}
	w.Pods = append(w.Pods, p)
}

func (o *view) wish(name corev1.UniqueVolumeName) *wish {
	for i := range o.Wanted {
		if o.Wanted[i].Name == name {
			return &o.Wanted[i]
		}
	}
	return nil
}

// Happening is an event of pods.
type Happening struct {
	Pods                  []*corev1.Pod
	Type, Reason, Message string
}

// Plan is what is to be done about one node, in the order of its fields.
type Plan struct {
	Ask    []*storagev1.VolumeAttachment // nobody wants them: the agent is to let go
	Keep   []*storagev1.VolumeAttachment // they are wanted again, before they were taken off
	Report bool                          // volumesAttached is to be List
	List   []corev1.AttachedVolume
	Detach []*storagev1.VolumeAttachment
	Attach []*storagev1.VolumeAttachment
	Forced bool // some are detached though the agent did not let go
	Events []Happening
	Again  time.Duration // when to look again; 0: when something happens
}

func (p Plan) isEmpty() bool { return p.String() == "nothing" }

// String prints the plan.
func (p Plan) String() string {
	var parts []string
	say := func(verb string, all []*storagev1.VolumeAttachment) {
		var names []string
		for _, a := range all {
			names = append(names, volumeOf(a))
		}
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, ", "))
		}
	}
	say("wait for the agent to let go of", p.Ask)
	say("keep", p.Keep)
	if p.Report {
		parts = append(parts, fmt.Sprintf("report %d attached", len(p.List)))
	}
	verb := "detach"
	if p.Forced {
		verb = "detach by force"
	}
	say(verb, p.Detach)
	say("attach", p.Attach)
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func volumeOf(a *storagev1.VolumeAttachment) string {
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		return *name
	}
	return a.Name
}

// decide says what is to be attached to a node, what detached, and what its agent may count on.
func decide(o view) Plan {
	var p Plan
	if o.Node != nil && !managed(o.Node) {
		return p
	}
	o.Attachments = slices.SortedFunc(slices.Values(o.Attachments), func(a, b *storagev1.VolumeAttachment) int { return cmp.Compare(a.Name, b.Name) })
	there := map[corev1.UniqueVolumeName]bool{}
	for _, a := range o.Attachments {
		name := corev1.UniqueVolumeName(a.Annotations[claims.AttachedAs])
		there[name] = true
		if decideOne(o, a, name, &p) {
			p.List = append(p.List, corev1.AttachedVolume{Name: name})
		}
	}
	if o.Node == nil {
		return p
	}
	for i := range o.Wanted {
		if w := &o.Wanted[i]; !there[w.Name] {
			decideAbsent(o, w, &p)
		}
	}
	decideReport(o, &p)
	return p
}

// decideOne says what becomes of one attachment, and whether the agent may count on it.
func decideOne(o view, a *storagev1.VolumeAttachment, name corev1.UniqueVolumeName, p *Plan) (listed bool) {
	w, asked := o.wish(name), a.Annotations[claims.DetachRequested] != ""
	was := o.Node != nil && slices.ContainsFunc(o.Node.Status.VolumesAttached, func(v corev1.AttachedVolume) bool { return v.Name == name })
	switch {
	case a.DeletionTimestamp != nil: // its attacher is at it
		return false
	case w != nil && !asked:
		return decideWanted(w, a, was, p)
	case w != nil && was:
		p.Keep = append(p.Keep, a)
		return true
	case w != nil: // it was taken off already, and who did so may be about to delete it
		p.Detach = append(p.Detach, a)
		return false
	case !asked:
		p.Ask = append(p.Ask, a)
		return was
	}
	if wait, forced := patience(o, a, name); wait != 0 {
		p.again(wait)
		return was
	} else if forced {
		p.Forced = true
	}
	p.Detach = append(p.Detach, a)
	return false
}

// decideWanted tells the pods how the attaching goes.
func decideWanted(w *wish, a *storagev1.VolumeAttachment, was bool, p *Plan) (listed bool) {
	switch {
	case a.Status.Attached && !was:
		p.tell(w, corev1.EventTypeNormal, "SuccessfulAttachVolume", fmt.Sprintf("AttachVolume.Attach succeeded for volume %q ", w.Volume.Name))
	case !a.Status.Attached && a.Status.AttachError != nil && a.Status.AttachError.Message != "":
		p.tell(w, corev1.EventTypeWarning, "FailedAttachVolume", fmt.Sprintf("AttachVolume.Attach failed for volume %q : %s", w.Volume.Name, a.Status.AttachError.Message))
	}
	return a.Status.Attached
}

// patience says how long to wait for the agent to let go of a volume: none if it has, or need not be
// waited for; negative: until it does.
func patience(o view, a *storagev1.VolumeAttachment, name corev1.UniqueVolumeName) (wait time.Duration, forced bool) {
	switch {
	case o.Node != nil && !slices.Contains(o.Node.Status.VolumesInUse, name):
		return 0, false
	case o.Node != nil && api.IsOutOfService(o.Node):
		return 0, true
	case o.Node != nil && api.IsNodeReady(o.Node):
		return -1, false
	}
	since, err := time.Parse(time.RFC3339, a.Annotations[claims.DetachRequested])
	if left := unmountPatience - o.Now.Sub(since); err == nil && left > 0 {
		return left, false
	}
	return 0, true
}

// decideAbsent has a volume attached, unless it is where it can be only once.
func decideAbsent(o view, w *wish, p *Plan) {
	if w.Elsewhere != "" {
		why := "Volume is already exclusively attached to one node and can't be attached to another"
		if len(w.Users) > 0 {
			why = "Volume is already used by pod(s) " + strings.Join(w.Users, ", ")
		}
		p.tell(w, corev1.EventTypeWarning, "FailedAttachVolume", fmt.Sprintf("Multi-Attach error for volume %q %s", w.Volume.Name, why))
		p.again(exclusiveRetry)
		return
	}
	p.Attach = append(p.Attach, &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{
			Name: claims.AttachmentName(w.Volume.Spec.CSI, o.Node.Name), Annotations: map[string]string{claims.AttachedAs: string(w.Name)},
		},
		Spec: storagev1.VolumeAttachmentSpec{
			Attacher: w.Volume.Spec.CSI.Driver, NodeName: o.Node.Name,
			Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &w.Volume.Name},
		},
	})
}

// decideReport completes the list by what is not ours, and compares it with what the node has.
func decideReport(o view, p *Plan) {
	for _, v := range o.Node.Status.VolumesAttached {
		if !strings.HasPrefix(string(v.Name), claims.DrivenPrefix) {
			p.List = append(p.List, v)
		}
	}
	slices.SortFunc(p.List, func(a, b corev1.AttachedVolume) int { return cmp.Compare(a.Name, b.Name) })
	p.Report = !slices.Equal(p.List, o.Node.Status.VolumesAttached)
}

func (p *Plan) tell(w *wish, typ, reason, message string) {
	p.Events = append(p.Events, Happening{w.Pods, typ, reason, message})
}

// again has the node looked at after d, or earlier; negative is never.
func (p *Plan) again(d time.Duration) {
	if d > 0 && (p.Again == 0 || d < p.Again) {
		p.Again = d
	}
}

func managed(n *corev1.Node) bool { return n.Annotations[claims.ControllerAttaches] == "true" }
