package localpath

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/miniorch/miniorch/pkg/claims"
)

// claimView is what is decided from about one claim.
type claimView struct {
	Claim  *corev1.PersistentVolumeClaim
	Class  *storagev1.StorageClass  // nil: there is none of that name
	Node   *corev1.Node             // that was selected; nil: there is no such node
	Volume *corev1.PersistentVolume // that was made for the claim, or that it has; nil: none yet
}

// ClaimPlan is what is to be done for one claim.
type ClaimPlan struct {
	Create     *corev1.PersistentVolume
	Reschedule bool // the selected node will not do
	Grow       bool // the volume is to be as large as the claim asks for
	Refusal    string
}

// String prints the plan.
func (p ClaimPlan) String() string {
	switch {
	case p.Create != nil:
		return "create " + p.Create.Name + " at " + p.Create.Spec.Local.Path
	case p.Reschedule:
		return "have another node selected: " + p.Refusal
	case p.Grow:
		return "grow"
	case p.Refusal != "":
		return "refuse: " + p.Refusal
	}
	return "nothing"
}

// nameFor is the name of the volume that is made for a claim: asking twice gives one volume.
func nameFor(c *corev1.PersistentVolumeClaim) string { return "pvc-" + string(c.UID) }

// decideClaim says whether a volume is to be made for a claim, or made larger.
func decideClaim(o claimView) ClaimPlan {
	c := o.Claim
	if c.Spec.VolumeName != "" {
		return decideGrowth(o)
	}
	if c.Annotations[claims.Provisioner] != claims.LocalPath || c.DeletionTimestamp != nil || o.Volume != nil {
		return ClaimPlan{}
	}
	if why := refusal(c, o.Class); why != "" {
		return ClaimPlan{Refusal: why}
	}
	node := c.Annotations[claims.SelectedNode]
	switch {
	case o.Class == nil || node == "": // the class has gone, or no pod has been placed yet
		return ClaimPlan{}
	case o.Node == nil:
		return ClaimPlan{Reschedule: true, Refusal: fmt.Sprintf("node %q not found", node)}
	case o.Node.Annotations[claims.LocalPathRoot] == "" || o.Node.Labels[corev1.LabelHostname] == "" || len(node) > validation.LabelValueMaxLength:
		return ClaimPlan{Reschedule: true, Refusal: fmt.Sprintf("node %q has no directory for local volumes", node)}
	}
	return ClaimPlan{Create: volumeFor(c, o.Class, o.Node)}
}

// refusal says why a claim cannot have a directory; empty if it can.
func refusal(c *corev1.PersistentVolumeClaim, sc *storagev1.StorageClass) string {
	modes := func(m corev1.PersistentVolumeAccessMode) bool {
		return m != corev1.ReadWriteOnce && m != corev1.ReadWriteOncePod
	}
	switch {
	case sc != nil && !claims.Waits(sc):
		return "a class of local volumes needs volumeBindingMode WaitForFirstConsumer: a directory is on one node"
	case sc != nil && len(sc.Parameters) > 0:
		return "a class of local volumes has no parameters"
	case slices.ContainsFunc(c.Spec.AccessModes, modes):
		return "local volumes only support ReadWriteOnce and ReadWriteOncePod access modes"
	case claims.ModeOf(c.Spec.VolumeMode) == corev1.PersistentVolumeBlock:
		return "local volumes are directories, volumeMode Block is not supported"
	case c.Spec.Selector != nil:
		return "claim.Spec.Selector is not supported for dynamic provisioning"
	case c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil:
		return "local volumes start empty, a data source is not supported"
	}
	return ""
}

func volumeFor(c *corev1.PersistentVolumeClaim, sc *storagev1.StorageClass, node *corev1.Node) *corev1.PersistentVolume {
	name := nameFor(c)
	policy := corev1.PersistentVolumeReclaimDelete
	if sc.ReclaimPolicy != nil {
		policy = *sc.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: []string{claims.LocalPath},
			Labels:      map[string]string{claims.LocalPathNode: node.Name},
			Annotations: map[string]string{claims.ProvisionedBy: claims.LocalPath},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claims.Request(c)},
			AccessModes: c.Spec.AccessModes, VolumeMode: c.Spec.VolumeMode,
			StorageClassName: sc.Name, PersistentVolumeReclaimPolicy: policy,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{
				Path: claims.LocalPathDir(node.Annotations[claims.LocalPathRoot], name, c.Namespace, c.Name),
			}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node.Labels[corev1.LabelHostname]}}},
			}}}},
		},
	}
}

// decideGrowth: a directory is as large as anybody likes, so that growing is a matter of
// writing it down: in the volume first, then in the claim.
func decideGrowth(o claimView) ClaimPlan {
	v := o.Volume
	if v == nil || !claims.IsLocalPath(v) || !claims.IsBound(o.Claim) || !claims.Holds(v, o.Claim) || o.Claim.Status.Phase != corev1.ClaimBound {
		return ClaimPlan{}
	}
	want, have := claims.Request(o.Claim), o.Claim.Status.Capacity.Storage()
	return ClaimPlan{Grow: want.Cmp(*claims.Size(v)) > 0 || want.Cmp(*have) > 0 || have.Cmp(*claims.Size(v)) < 0}
}

// VolumePlan is what is to be done about one volume of ours.
type VolumePlan string

// String prints the plan.
func (p VolumePlan) String() string { return string(p) }

const (
	nothing VolumePlan = "nothing"
	remove  VolumePlan = "delete"
	letGo   VolumePlan = "let go: its node is gone, and its data with it"
)

// decideVolume deletes a volume whose claim is gone, and lets go one whose node is.
func decideVolume(v *corev1.PersistentVolume, nodeExists bool) VolumePlan {
	switch {
	case !claims.IsLocalPath(v):
		return nothing
	case v.DeletionTimestamp == nil:
		if v.Status.Phase == corev1.VolumeReleased && v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			return remove
		}
	case slices.Contains(v.Finalizers, claims.LocalPath) && !nodeExists && onlyOurs(v):
		return letGo
	}
	return nothing
}

// onlyOurs reports whether nobody else holds the volume: who is protected first is let go last.
func onlyOurs(v *corev1.PersistentVolume) bool {
	return !slices.ContainsFunc(v.Finalizers, func(f string) bool { return f != claims.LocalPath && strings.HasPrefix(f, "kubernetes.io/") })
}
