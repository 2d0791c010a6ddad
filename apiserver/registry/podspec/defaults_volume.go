package podspec

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// File modes of what is written into volumes, and the life of a projected token.
const (
	defaultFileMode    int32 = 0o644
	defaultTokenExpiry int64 = 60 * 60
)

func defaultVolume(v *corev1.Volume) {
	s := &v.VolumeSource
	if *s == (corev1.VolumeSource{}) {
		s.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	if s.EmptyDir != nil {
		kind.TidyQuantity(s.EmptyDir.SizeLimit)
	}
	if s.HostPath != nil {
		kind.SetDefault(&s.HostPath.Type, corev1.HostPathUnset)
	}
	if s.Secret != nil {
		kind.SetDefault(&s.Secret.DefaultMode, defaultFileMode)
	}
	if s.ConfigMap != nil {
		kind.SetDefault(&s.ConfigMap.DefaultMode, defaultFileMode)
	}
	if s.DownwardAPI != nil {
		kind.SetDefault(&s.DownwardAPI.DefaultMode, defaultFileMode)
		defaultDownwardItems(s.DownwardAPI.Items)
	}
	if s.Projected != nil {
		defaultProjected(s.Projected)
	}
	if s.Image != nil && s.Image.PullPolicy == "" {
		s.Image.PullPolicy = defaultPullPolicy(s.Image.Reference)
	}
	if s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil {
		DefaultClaimSpec(&s.Ephemeral.VolumeClaimTemplate.Spec)
	}
	defaultRemoteVolume(s)
}

func defaultProjected(p *corev1.ProjectedVolumeSource) {
	kind.SetDefault(&p.DefaultMode, defaultFileMode)
	for i := range p.Sources {
		if d := p.Sources[i].DownwardAPI; d != nil {
			defaultDownwardItems(d.Items)
		}
		if t := p.Sources[i].ServiceAccountToken; t != nil {
			kind.SetDefault(&t.ExpirationSeconds, defaultTokenExpiry)
		}
	}
}

func defaultDownwardItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		defaultFieldRef(items[i].FieldRef)
		if r := items[i].ResourceFieldRef; r != nil {
			kind.TidyQuantity(&r.Divisor)
		}
	}
}

// defaultRemoteVolume fills the storage systems' own fields, as the API documents them.
func defaultRemoteVolume(s *corev1.VolumeSource) {
	if s.ISCSI != nil && s.ISCSI.ISCSIInterface == "" {
		s.ISCSI.ISCSIInterface = "default"
	}
	if r := s.RBD; r != nil {
		setText(&r.RBDPool, "rbd")
		setText(&r.RadosUser, "admin")
		setText(&r.Keyring, "/etc/ceph/keyring")
	}
	if a := s.AzureDisk; a != nil {
		kind.SetDefault(&a.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		kind.SetDefault(&a.Kind, corev1.AzureSharedBlobDisk)
		kind.SetDefault(&a.FSType, "ext4")
		kind.SetDefault(&a.ReadOnly, false)
	}
	if c := s.ScaleIO; c != nil {
		setText(&c.StorageMode, "ThinProvisioned")
		setText(&c.FSType, "xfs")
	}
}

// setText fills an empty string.
func setText(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
