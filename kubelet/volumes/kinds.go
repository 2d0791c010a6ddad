package volumes

import (
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// kind names what a volume is: "emptyDir", "configMap", "nfs", …
func kind(v *corev1.Volume) string {
	s := reflect.ValueOf(v.VolumeSource)
	for i := range s.NumField() {
		if !s.Field(i).IsNil() {
			name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "emptyDir" // the API's default
}

func supported(v *corev1.Volume) error {
	switch k := kind(v); k {
	case "emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected", "nfs", "persistentVolumeClaim", "ephemeral", "image":
	default:
		return fmt.Errorf("volume %q: volumes of type %s are not supported", v.Name, k)
	}
	if v.Projected == nil {
		return nil
	}
	for _, s := range v.Projected.Sources {
		if s.ClusterTrustBundle != nil || s.PodCertificate != nil {
			return fmt.Errorf("volume %q: projected sources of type clusterTrustBundle and podCertificate are not supported", v.Name)
		}
	}
	return nil
}

// fromAPI reports whether the volume's content is kept as the API has it.
func fromAPI(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

// sourceOf names what a PersistentVolume is: "csi", "iscsi", …
func sourceOf(pv *corev1.PersistentVolume) string {
	s := reflect.ValueOf(pv.Spec.PersistentVolumeSource)
	for i := range s.NumField() {
		if !s.Field(i).IsNil() {
			name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "unknown"
}

// secretive volumes hold what must not reach a disk.
func secretive(v *corev1.Volume) bool {
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.Secret != nil || s.ServiceAccountToken != nil {
				return true
			}
		}
	}
	return v.Secret != nil
}
