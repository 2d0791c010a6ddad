package persistentvolume

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
)

// Reasons of events, as people know them.
const (
	failedBinding        = "FailedBinding"
	waitForFirstConsumer = "WaitForFirstConsumer"
	waitForPodScheduled  = "WaitForPodScheduled"
	externalProvisioning = "ExternalProvisioning"
	provisioningFailed   = "ProvisioningFailed"
	volumeMismatch       = "VolumeMismatch"
	claimLost            = "ClaimLost"
	claimMisbound        = "ClaimMisbound"
	externalExpanding    = "ExternalExpanding"
)

// Happening is an event to be recorded.
type Happening struct{ Type, Reason, Message string }

// claimView is what is decided from about one claim.
type claimView struct {
	Claim   *corev1.PersistentVolumeClaim
	Class   *storagev1.StorageClass    // that the claim names; nil: there is none
	Default *storagev1.StorageClass    // nil: there is none
	Named   *corev1.PersistentVolume   // that the claim names; nil: there is none
	Volumes []*corev1.PersistentVolume // free ones of the claim's class, and those set aside for it
	Pods    []*corev1.Pod              // that use the claim
}

// ClaimPlan is what is to be done about one claim.
type ClaimPlan struct {
	Bind        *corev1.PersistentVolume          // nil: do not
	Phase       corev1.PersistentVolumeClaimPhase // of a claim that is not bound; empty: leave it
	Class       string                            // to write into the claim, which names none
	Provisioner string                            // who is to make a volume
	Event       *Happening
}

// String prints the plan.
func (p ClaimPlan) String() string {
	var parts []string
	say := func(set bool, format string, args ...any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	if p.Bind != nil {
		say(true, "bind to %s", p.Bind.Name)
	}
	say(p.Class != "", "take the default class %s", p.Class)
	say(p.Provisioner != "", "ask %s for a volume", p.Provisioner)
	say(p.Phase != "", "phase %s", p.Phase)
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// decideClaim says how a claim comes nearer to being bound, or what became of its volume.
func decideClaim(o claimView) ClaimPlan {
	switch {
	case claims.IsBound(o.Claim):
		return decideBound(o)
	case o.Claim.Annotations[claims.BindCompleted] != "": // was bound, and names no volume any more
		return lost(claimLost, "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	case o.Claim.Spec.VolumeName != "":
		return decideNamed(o)
	case o.Claim.DeletionTimestamp != nil:
		return pending(nil)
	case o.Default != nil && !claims.NamesClass(o.Claim):
		return ClaimPlan{Class: o.Default.Name, Phase: corev1.ClaimPending}
	}
	search := claims.Search{Claim: o.Claim, Waiting: claims.Waits(o.Class)}
	if v := search.Best(o.Volumes); v != nil {
		return ClaimPlan{Bind: v}
	}
	return decideWithout(o)
}

// decideBound watches over a binding that is complete.
func decideBound(o claimView) ClaimPlan {
	switch v := o.Named; {
	case v == nil:
		return lost(claimLost, "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case v.Spec.ClaimRef == nil || claims.Holds(v, o.Claim):
		plan := ClaimPlan{Bind: v}
		if want := claims.Request(o.Claim); waitsToGrow(o.Claim, v) && want.Cmp(*claims.Size(v)) > 0 {
			plan.Event = tell(externalExpanding, "waiting for an external controller to expand this PVC")
		}
		return plan
	default:
		return lost(claimMisbound, "Two claims are bound to the same volume, this one is bound incorrectly")
	}
}

// waitsToGrow reports whether a bound claim may ask somebody else for a larger volume. Our own
// provisioner grows its volumes at once, and what is as large as it was asked to be needs nobody.
func waitsToGrow(c *corev1.PersistentVolumeClaim, v *corev1.PersistentVolume) bool {
	return c.Status.Phase == corev1.ClaimBound && !claims.IsLocalPath(v)
}

// decideNamed binds a claim whose user has chosen the volume, if that can be had.
func decideNamed(o claimView) ClaimPlan {
	v := o.Named
	switch {
	case v == nil:
		return pending(nil) // it may still come
	case v.Spec.ClaimRef == nil:
		if why := claims.Mismatch(v, o.Claim); why != "" {
			return pending(warn(volumeMismatch, "Cannot bind to requested volume %q: %s", v.Name, why))
		}
		if v.DeletionTimestamp != nil {
			return pending(warn(failedBinding, "volume %q is being deleted", v.Name))
		}
		return ClaimPlan{Bind: v}
	case claims.Holds(v, o.Claim):
		return ClaimPlan{Bind: v}
	}
	return pending(warn(failedBinding, "volume %q already bound to a different claim.", v.Name))
}

// decideWithout says what a claim waits for that no volume is free for.
func decideWithout(o claimView) ClaimPlan {
	class := claims.ClassOf(o.Claim)
	switch {
	case class == "":
		return pending(tell(failedBinding, "no persistent volumes available for this claim and no storage class is set"))
	case o.Class == nil:
		return pending(warn(provisioningFailed, "storageclass.storage.k8s.io %q not found", class))
	case claims.Waits(o.Class) && o.Claim.Annotations[claims.SelectedNode] == "":
		return pending(waiting(o.Pods))
	case strings.HasPrefix(o.Class.Provisioner, "kubernetes.io/"):
		return pending(warn(provisioningFailed, "no volume plugin matched name: %s", o.Class.Provisioner))
	}
	plan := pending(tell(externalProvisioning, "Waiting for a volume to be created either by the external provisioner '%s' or manually by the system administrator. "+
		"If volume creation is delayed, please verify that the provisioner is running and correctly registered.", o.Class.Provisioner))
	plan.Provisioner = o.Class.Provisioner
	return plan
}

// waiting words what a claim waits for whose class wants to know its first consumer.
func waiting(pods []*corev1.Pod) *Happening {
	var names []string
	byHand := ""
	for _, p := range pods {
		if p.Spec.NodeName == "" {
			names = append(names, p.Name)
		} else if !api.IsPodTerminal(p) {
			byHand = p.Name
		}
	}
	switch {
	case len(names) == 1:
		return tell(waitForPodScheduled, "waiting for pod %s to be scheduled", names[0])
	case len(names) > 1:
		return tell(waitForPodScheduled, "waiting for pods %s to be scheduled", strings.Join(names, ","))
	case byHand != "": // as in Kubernetes, who goes past the scheduler has no place chosen for the claim
		return tell(waitForFirstConsumer, "waiting for a consumer that the scheduler places: pod %s names its node itself, a nodeSelector of %s would do", byHand, corev1.LabelHostname)
	}
	return tell(waitForFirstConsumer, "waiting for first consumer to be created before binding")
}

func lost(reason, message string) ClaimPlan {
	return ClaimPlan{Phase: corev1.ClaimLost, Event: warn(reason, "%s", message)}
}

func pending(e *Happening) ClaimPlan { return ClaimPlan{Phase: corev1.ClaimPending, Event: e} }

func warn(reason, format string, args ...any) *Happening {
	return &Happening{corev1.EventTypeWarning, reason, fmt.Sprintf(format, args...)}
}

func tell(reason, format string, args ...any) *Happening {
	return &Happening{corev1.EventTypeNormal, reason, fmt.Sprintf(format, args...)}
}
