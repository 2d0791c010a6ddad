package statefulset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/ownership"
)

func podName(set *appsv1.StatefulSet, ordinal int) string {
	return fmt.Sprintf("%s-%d", set.Name, ordinal)
}

// ordinalOf reads a pod's number from its name; ok is false if no pod of the set has that name.
func ordinalOf(set *appsv1.StatefulSet, name string) (ordinal int, ok bool) {
	digits, ok := strings.CutPrefix(name, set.Name+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 || strconv.Itoa(int(n)) != digits {
		return 0, false
	}
	return int(n), true
}

// identity are the labels by which a pod of the set tells which one it is.
func identity(set *appsv1.StatefulSet, ordinal int) map[string]string {
	return map[string]string{
		appsv1.StatefulSetPodNameLabel: podName(set, ordinal),
		appsv1.PodIndexLabel:           strconv.Itoa(ordinal),
	}
}

// hasIdentity tells whether a pod has the labels that it should have.
func hasIdentity(set *appsv1.StatefulSet, p *corev1.Pod, ordinal int) bool {
	for k, v := range identity(set, ordinal) {
		if p.Labels[k] != v {
			return false
		}
	}
	return true
}

// newPod makes the pod of an ordinal from a revision's template.
func newPod(set *appsv1.StatefulSet, template *corev1.PodTemplateSpec, revision string, ordinal int) *corev1.Pod {
	t := template.DeepCopy()
	labels := maps.Clone(t.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, identity(set, ordinal))
	labels[appsv1.StatefulSetRevisionLabel] = revision
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: podName(set, ordinal), GenerateName: set.Name + "-",
			Labels: labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(set, kind)},
		},
		Spec: t.Spec,
	}
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, set.Spec.ServiceName
	mountClaims(set, p, ordinal)
	return p
}

// mountClaims puts a volume for every claim template in the place of the pod's own one of the name.
func mountClaims(set *appsv1.StatefulSet, p *corev1.Pod, ordinal int) {
	own := p.Spec.Volumes
	p.Spec.Volumes = nil
	for i := range set.Spec.VolumeClaimTemplates {
		name := set.Spec.VolumeClaimTemplates[i].Name
		own = slices.DeleteFunc(own, func(v corev1.Volume) bool { return v.Name == name })
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(set, name, ordinal)},
		}})
	}
	p.Spec.Volumes = append(p.Spec.Volumes, own...)
}
