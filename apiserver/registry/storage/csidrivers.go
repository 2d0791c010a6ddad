package storage

import (
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func csiDrivers() resource.Descriptor {
	return kind.Describe(kind.Of[*storagev1.CSIDriver]{
		Singular:       "csidriver",
		New:            func() *storagev1.CSIDriver { return &storagev1.CSIDriver{} },
		NewList:        func() runtime.Object { return &storagev1.CSIDriverList{} },
		Defaults:       defaultDriver,
		PrepareCreate:  func(d *storagev1.CSIDriver) { d.Generation = 1 },
		PrepareUpdate:  prepareDriverUpdate,
		Validate:       validateDriver,
		ValidateUpdate: validateDriverUpdate,
		Warnings:       warnDriver,
		Columns:        driverColumns(),
	})
}

func driverColumns() []kind.Column[*storagev1.CSIDriver] {
	return []kind.Column[*storagev1.CSIDriver]{
		kind.NameColumn[*storagev1.CSIDriver](),
		kind.TextColumn("AttachRequired", "Whether volumes are attached to a node before they are mounted.",
			func(d *storagev1.CSIDriver) string { return truth(d.Spec.AttachRequired) }),
		kind.TextColumn("PodInfoOnMount", "Whether the driver is told about the pod.",
			func(d *storagev1.CSIDriver) string { return truth(d.Spec.PodInfoOnMount) }),
		kind.TextColumn("StorageCapacity", "Whether the driver publishes how much room there is.",
			func(d *storagev1.CSIDriver) string { return truth(d.Spec.StorageCapacity) }),
		kind.TextColumn("TokenRequests", "The audiences of the tokens that the driver is given.", func(d *storagev1.CSIDriver) string {
			var all []string
			for _, t := range d.Spec.TokenRequests {
				all = append(all, t.Audience)
			}
			if len(all) == 0 {
				return "<unset>"
			}
			return strings.Join(all, ",")
		}),
		kind.TextColumn("RequiresRepublish", "Whether volumes are published again and again.",
			func(d *storagev1.CSIDriver) string { return truth(d.Spec.RequiresRepublish) }),
		kind.TextColumn("Modes", "What kinds of volumes the driver has.", func(d *storagev1.CSIDriver) string {
			var all []string
			for _, m := range d.Spec.VolumeLifecycleModes {
				all = append(all, string(m))
			}
			return strings.Join(all, ",")
		}),
		kind.AgeColumn[*storagev1.CSIDriver](),
	}
}

func defaultDriver(d *storagev1.CSIDriver) {
	kind.SetDefault(&d.Spec.AttachRequired, true)
	kind.SetDefault(&d.Spec.PodInfoOnMount, false)
	kind.SetDefault(&d.Spec.StorageCapacity, false)
	kind.SetDefault(&d.Spec.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	kind.SetDefault(&d.Spec.RequiresRepublish, false)
	kind.SetDefault(&d.Spec.SELinuxMount, false)
	if len(d.Spec.VolumeLifecycleModes) == 0 {
		d.Spec.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func prepareDriverUpdate(d, old *storagev1.CSIDriver) {
	d.Generation = old.Generation
	if !equality.Semantic.DeepEqual(d.Spec, old.Spec) {
		d.Generation++
	}
}

func validateDriverName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	if len(name) > 63 {
		errs = append(errs, field.TooLong(path, name, 63))
	}
	return append(errs, kind.Invalids(path, name, utilvalidation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}

func validateDriver(d *storagev1.CSIDriver) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if d.Name != "" { // else the name itself is what is wrong
		errs = validateDriverName(d.Name, field.NewPath("metadata", "name"))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"attachRequired", d.Spec.AttachRequired != nil},
		{"podInfoOnMount", d.Spec.PodInfoOnMount != nil},
		{"storageCapacity", d.Spec.StorageCapacity != nil},
		{"seLinuxMount", d.Spec.SELinuxMount != nil},
	} {
		if !f.set {
			errs = append(errs, field.Required(spec.Child(f.name), ""))
		}
	}
	if p := d.Spec.FSGroupPolicy; p != nil {
		errs = append(errs, kind.OneOf(*p, spec.Child("fsGroupPolicy"),
			storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy)...)
	}
	for _, m := range d.Spec.VolumeLifecycleModes {
		errs = append(errs, kind.OneOf(m, spec.Child("volumeLifecycleModes"), storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral)...)
	}
	if n := d.Spec.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < 10 {
		errs = append(errs, field.Invalid(spec.Child("nodeAllocatableUpdatePeriodSeconds"), *n, "must be greater than or equal to 10 seconds"))
	}
	return append(errs, validateTokenRequests(d.Spec.TokenRequests, spec.Child("tokenRequests"))...)
}

func validateTokenRequests(all []storagev1.TokenRequest, path *field.Path) field.ErrorList {
	const shortest, longest = 10 * 60, 1 << 32
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, t := range all {
		at := path.Index(i)
		if seen[t.Audience] {
			errs = append(errs, field.Duplicate(at.Child("audience"), t.Audience))
		}
		seen[t.Audience] = true
		if s := t.ExpirationSeconds; s != nil && *s < shortest {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
		} else if s != nil && *s > longest {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return errs
}

// validateDriverUpdate: what volumes were made by stays.
func validateDriverUpdate(d, old *storagev1.CSIDriver) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(d.Spec.AttachRequired, old.Spec.AttachRequired) {
		errs = append(errs, field.Invalid(spec.Child("attachRequired"), d.Spec.AttachRequired, kind.Immutable))
	}
	if !equality.Semantic.DeepEqual(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes) {
		errs = append(errs, field.Invalid(spec.Child("volumeLifecycleModes"), d.Spec.VolumeLifecycleModes, kind.Immutable))
	}
	return errs
}

// warnDriver says what to expect of a driver here.
func warnDriver(_, _ *storagev1.CSIDriver, isUpdate bool) []string {
	if isUpdate {
		return nil
	}
	return []string{"spec: the nodes do not speak to CSI drivers; pods that use such volumes will not start"}
}
