package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func csiNodes() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.CSINode]{
		Singular:       "csinode",
		New:            func() *storagev1.CSINode { return &storagev1.CSINode{} },
		NewList:        func() runtime.Object { return &storagev1.CSINodeList{} },
		PrepareCreate:  func(n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} },
		PrepareUpdate:  func(n, _ *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} },
		Validate:       validateCSINode,
		ValidateUpdate: validateCSINodeUpdate,
		Warnings: func(n, _ *storagev1.CSINode, _ bool) []string {
			if len(n.Status.StorageHealth) == 0 {
				return nil
			}
			return []string{"status.storageHealth: not served; it is not stored"}
		},
		Columns: []kind.Column[*storagev1.CSINode]{
			kind.NameColumn[*storagev1.CSINode](),
			kind.CountColumn("Drivers", "How many drivers the node has.", func(n *storagev1.CSINode) int64 { return int64(len(n.Spec.Drivers)) }),
			kind.AgeColumn[*storagev1.CSINode](),
		},
	})
}

func validateCSINode(n *storagev1.CSINode) field.ErrorList {
	path := field.NewPath("spec", "drivers")
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, d := range n.Spec.Drivers {
		at := path.Index(i)
		errs = append(errs, validateDriverName(d.Name, at.Child("name"))...)
		if seen[d.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), d.Name))
		}
		seen[d.Name] = true
		if d.NodeID == "" {
			errs = append(errs, field.Required(at.Child("nodeID"), ""))
		} else if len(d.NodeID) > 256 {
			errs = append(errs, field.TooLong(at.Child("nodeID"), d.NodeID, 256))
		}
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			errs = append(errs, kind.NotNegative(*d.Allocatable.Count, at.Child("allocatable", "count"))...)
		}
		keys := map[string]bool{}
		for j, key := range d.TopologyKeys {
			errs = append(errs, kind.Invalids(at.Child("topologyKeys").Index(j), key, utilvalidation.IsQualifiedName(key))...)
			if keys[key] {
				errs = append(errs, field.Duplicate(at.Child("topologyKeys").Index(j), key))
			}
			keys[key] = true
		}
	}
	return errs
}

// validateCSINodeUpdate: a driver may come and go; while it is there it stays as it came, but
// for how many volumes it can have.
func validateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	for _, was := range old.Spec.Drivers {
		for i, now := range n.Spec.Drivers {
			was := was
			was.Allocatable = now.Allocatable
			if now.Name == was.Name && !equality.Semantic.DeepEqual(now, was) {
				errs = append(errs, field.Invalid(field.NewPath("spec", "drivers").Index(i), now, kind.Immutable))
			}
		}
	}
	return errs
}
