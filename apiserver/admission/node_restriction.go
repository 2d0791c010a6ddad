package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/auth"
)

const leaseNamespace = "kube-node-lease"

// NodeRestriction keeps a node within what is its own: its Node, its CSINode, its Lease, the pods bound
// to it, the tokens of their service accounts and its local volumes. A node that lies about its name, or that
// was broken into, can harm nothing else through the API.
type NodeRestriction struct {
	Read Reader
}

// Name implements Plugin.
func (NodeRestriction) Name() string { return "NodeRestriction" }

// Validate implements Validator.
func (p NodeRestriction) Validate(ctx context.Context, r *Request) error {
	if !r.User.InGroup(auth.GroupNodes) {
		return nil
	}
	node, ok := strings.CutPrefix(r.User.Name, auth.NodePrefix)
	if !ok || node == "" {
		return Forbid(r, "could not determine node identity from user %q", r.User.Name)
	}
	switch {
	case r.Is("", "nodes"):
		return restrictNode(r, node)
	case r.Is("", "pods"):
		return restrictPod(r, node)
	case r.Is("coordination.k8s.io", "leases"):
		return restrictLease(r, node)
	case r.Is("", "serviceaccounts") && r.Subresource == "token":
		return p.restrictToken(ctx, r, node)
	case r.Is("storage.k8s.io", "csinodes"):
		if r.Name != node {
			return Forbid(r, "node %q may only access the CSINode named %q", node, node)
		}
		return nil
	case r.Is("", "persistentvolumes"):
		return restrictVolume(r, node)
	case r.Is("", "events") || r.Is("events.k8s.io", "events"):
		return nil
	}
	return Forbid(r, "node %q may not %s %s", node, strings.ToLower(string(r.Operation)), r.Resource)
}

func restrictNode(r *Request, node string) error {
	if r.Name != node {
		return Forbid(r, "node %q is not allowed to modify node %q", node, r.Name)
	}
	if r.Operation == Delete {
		return Forbid(r, "node %q is not allowed to delete itself", node)
	}
	obj, isNode := r.Object.(*corev1.Node)
	if !isNode {
		return nil
	}
	old, isUpdate := r.Old.(*corev1.Node)
	if !isUpdate {
		old = &corev1.Node{}
	} else if !sameTaints(obj.Spec.Taints, old.Spec.Taints) {
		return Forbid(r, "node %q is not allowed to modify taints", node)
	}
	if isUpdate && !slices.EqualFunc(obj.OwnerReferences, old.OwnerReferences, sameOwner) {
		// An owner that does not exist would have the node deleted, and made anew as it likes.
		return Forbid(r, "node %q is not allowed to modify ownerReferences", node)
	}
	if key := changedRestricted(obj.Labels, old.Labels); key != "" {
		return Forbid(r, "is not allowed to modify labels: %s", key)
	}
	return nil
}

func sameOwner(a, b metav1.OwnerReference) bool {
	return a.UID == b.UID && a.Kind == b.Kind && a.Name == b.Name
}

// nodeLabels are the labels of Kubernetes' own domains that a node may say of itself.
var nodeLabels = []string{
	corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	corev1.LabelInstanceType, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
}

// reserved reports whether only administrators may set a node's label: by such labels
// workloads are kept off nodes that are not trusted with them, and control planes found.
func reserved(key string) bool {
	domain, _, qualified := strings.Cut(key, "/")
	if !qualified || slices.Contains(nodeLabels, key) {
		return false
	}
	of := func(root string) bool { return domain == root || strings.HasSuffix(domain, "."+root) }
	if of(corev1.LabelNamespaceNodeRestriction) {
		return true
	}
	if of(corev1.LabelNamespaceSuffixKubelet) || of(corev1.LabelNamespaceSuffixNode) {
		return false
	}
	return of("kubernetes.io") || of("k8s.io")
}

// changedRestricted returns a reserved label that differs, or "".
func changedRestricted(labels, old map[string]string) string {
	for _, side := range []map[string]string{labels, old} {
		for key := range side {
			value, has := labels[key]
			before, had := old[key]
			if reserved(key) && (has != had || value != before) {
				return key
			}
		}
	}
	return ""
}

func sameTaints(a, b []corev1.Taint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || a[i].Value != b[i].Value || a[i].Effect != b[i].Effect {
			return false
		}
	}
	return true
}

// restrictPod: a node reports on its pods and removes those that have ended. It creates
// none: miniorch nodes have no static pods.
func restrictPod(r *Request, node string) error {
	switch {
	case r.Operation == Create && r.Subresource == "":
		return Forbid(r, "node %q may not create pods", node)
	case r.Operation == Update && r.Subresource != "status":
		return Forbid(r, "node %q can only update pod status", node)
	case r.Operation == Create:
		return Forbid(r, "node %q may not create pods/%s", node, r.Subresource)
	}
	pod, ok := r.Old.(*corev1.Pod)
	if !ok {
		return Forbid(r, "node %q may not touch a pod that is not there", node)
	}
	if pod.Spec.NodeName != node {
		return Forbid(r, "node %q can only %s pods with spec.nodeName set to itself", node, strings.ToLower(string(r.Operation)))
	}
	if now, isUpdate := r.Object.(*corev1.Pod); isUpdate && !maps.Equal(now.Labels, pod.Labels) {
		// By its labels a pod gets the traffic of Services and the care of controllers.
		return Forbid(r, "node %q cannot update labels through pod status", node)
	}
	return nil
}

func restrictLease(r *Request, node string) error {
	if r.Namespace != leaseNamespace {
		return Forbid(r, "node %q may only access leases in the %q namespace", node, leaseNamespace)
	}
	if r.Name != node {
		return Forbid(r, "node %q may only access the lease named %q", node, node)
	}
	return nil
}

// restrictToken: a node gets tokens for the pods bound to it, each bound to its pod.
func (p NodeRestriction) restrictToken(ctx context.Context, r *Request, node string) error {
	request, ok := r.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return Forbid(r, "node %q may only request tokens", node)
	}
	ref := request.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return Forbid(r, "node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return Forbid(r, "node requested token with a pod binding without a uid")
	}
	obj, err := p.Read.Get(ctx, corev1.SchemeGroupVersion.WithResource("pods"), r.Namespace, ref.Name)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("looking up pod %s/%s: %w", r.Namespace, ref.Name, err)
	}
	pod := obj.(*corev1.Pod)
	switch {
	case pod.UID != ref.UID:
		return Forbid(r, "the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return Forbid(r, "node requested token bound to a pod scheduled on a different node")
	case pod.Spec.ServiceAccountName != r.Name:
		return Forbid(r, "node requested token for a service account that the pod %q does not use", ref.Name)
	}
	return nil
}
