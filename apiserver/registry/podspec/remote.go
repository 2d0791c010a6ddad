package podspec

import (
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// remoteNeeds are the fields that a volume of a storage system needs, by the name of its source in a
// pod's spec; those of a PersistentVolume are called the same.
var remoteNeeds = map[string]string{
	"awsElasticBlockStore": "volumeID",
	"azureDisk":            "diskName diskURI",
	"azureFile":            "secretName shareName",
	"cephfs":               "monitors",
	"cinder":               "volumeID",
	"flexVolume":           "driver",
	"gcePersistentDisk":    "pdName",
	"glusterfs":            "endpoints path",
	"iscsi":                "targetPortal iqn",
	"photonPersistentDisk": "pdID",
	"portworxVolume":       "volumeID",
	"quobyte":              "registry volume",
	"rbd":                  "monitors image",
	"scaleIO":              "gateway system volumeName",
	"storageos":            "volumeName",
	"vsphereVolume":        "volumePath",
}

// maxPart is the last logical unit of a target, and the last partition of a disk.
const maxPart = 255

// RequiredOfRemote checks that of the sources the one by this name says the least that the storage
// system must be told.
func RequiredOfRemote(name string, sources any, path *field.Path) field.ErrorList {
	needs, known := remoteNeeds[name]
	if !known {
		return nil
	}
	set, err := fieldsOf(name, sources)
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	var errs field.ErrorList
	for need := range strings.FieldsSeq(needs) {
		switch value := set[need].(type) {
		case nil:
			errs = append(errs, field.Required(path.Child(need), ""))
		case string:
			if value == "" {
				errs = append(errs, field.Required(path.Child(need), ""))
			}
		case []any:
			if len(value) == 0 {
				errs = append(errs, field.Required(path.Child(need), ""))
			}
		}
	}
	for _, part := range []string{"lun", "partition"} {
		if n, ok := set[part].(float64); ok && (n < 0 || n > maxPart) {
			errs = append(errs, field.Invalid(path.Child(part), int64(n), "must be between 0 and 255, inclusive"))
		}
	}
	return errs
}

// fieldsOf returns the fields of one source as JSON has them.
func fieldsOf(name string, sources any) (map[string]any, error) {
	raw, err := json.Marshal(sources)
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]any{}
	err = json.Unmarshal(raw, &all)
	return all[name], err
}

// ValidateFC checks how a disk behind Fibre Channel is found: by ports and a unit, or by identifiers.
func ValidateFC(fc *corev1.FCVolumeSource, path *field.Path) field.ErrorList {
	switch {
	case len(fc.TargetWWNs) == 0 && len(fc.WWIDs) == 0:
		return field.ErrorList{field.Required(path.Child("targetWWNs"), "must specify either targetWWNs or wwids")}
	case len(fc.TargetWWNs) > 0 && len(fc.WWIDs) > 0:
		return field.ErrorList{field.Invalid(path.Child("targetWWNs"), fc.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously")}
	case len(fc.TargetWWNs) > 0 && fc.Lun == nil:
		return field.ErrorList{field.Required(path.Child("lun"), "lun is required if targetWWNs is specified")}
	case len(fc.TargetWWNs) > 0 && (*fc.Lun < 0 || *fc.Lun > maxPart):
		return field.ErrorList{field.Invalid(path.Child("lun"), *fc.Lun, "must be between 0 and 255, inclusive")}
	}
	return nil
}
