package deployment

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

var kind = appsv1.SchemeGroupVersion.WithKind("Deployment")

const (
	revisionKey = api.AnnotationRevision
	historyKey  = "deployment.kubernetes.io/revision-history" // earlier revisions of a set that was rolled back to
	desiredKey  = api.AnnotationDesiredReplicas
	maxKey      = api.AnnotationMaxReplicas

	maxHistoryLen = 2000 // characters
)

// ownAnnotations are those that a set does not inherit from its Deployment.
var ownAnnotations = map[string]bool{
	revisionKey: true, historyKey: true, desiredKey: true, maxKey: true,
	corev1.LastAppliedConfigAnnotation: true, appsv1.DeprecatedRollbackTo: true,
	api.AnnotationPromote: true, api.AnnotationAbort: true, api.AnnotationProgress: true, api.AnnotationStory: true,
}

func oldestFirst(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	sets = slices.Clone(sets)
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return sets
}

// split finds the set of the Deployment's template: the oldest one whose template is the
// same but for the hash label.
func split(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (newest *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	for _, rs := range sets {
		if newest == nil && sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
			newest = rs
		} else {
			old = append(old, rs)
		}
	}
	return newest, old
}

func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return equality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	t = t.DeepCopy()
	delete(t.Labels, api.LabelPodTemplateHash)
	return t
}

// hash names a template. collisions counts how often the name was found to be taken.
func hash(t *corev1.PodTemplateSpec, collisions *int32) string {
	data, err := json.Marshal(t)
	if err != nil {
		panic(err) // API types always encode
	}
	return names.Hash(append(data, '\n'), collisions)
}

func revisionOf(obj api.Object) int64 {
	n, err := strconv.ParseInt(obj.GetAnnotations()[revisionKey], 10, 64)
	if err != nil {
		return 0 // none yet, or one that a user broke
	}
	return n
}

// nextRevision is one more than any old set's.
func (r *rollout) nextRevision() int64 {
	var n int64
	for _, rs := range r.old {
		n = max(n, revisionOf(rs))
	}
	return n + 1
}

// markNewest brings the newest set's annotations and minReadySeconds up to date: it carries
// the Deployment's annotations (the change cause among them) and the highest revision.
func (r *rollout) markNewest() {
	if r.newest == nil {
		return
	}
	e := r.edit(r.newest)
	inherit(e, r.d)
	if next, current := r.nextRevision(), revisionOf(e); current < next {
		if was := e.Annotations[revisionKey]; was != "" {
			e.Annotations[historyKey] = addHistory(e.Annotations[historyKey], was)
		}
		e.Annotations[revisionKey] = strconv.FormatInt(next, 10)
	}
	e.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
}

// addHistory appends a revision and drops the oldest ones beyond the limit of length.
func addHistory(history, revision string) string {
	var all []string
	if history != "" {
		all = strings.Split(history, ",")
	}
	all = append(all, revision)
	for len(all) > 1 && len(strings.Join(all, ",")) > maxHistoryLen {
		all = all[1:]
	}
	return strings.Join(all, ",")
}

func inherit(rs *appsv1.ReplicaSet, d *appsv1.Deployment) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range d.Annotations {
		if !ownAnnotations[k] {
			rs.Annotations[k] = v
		}
	}
}

// noteSize writes on rs what the Deployment wants in all: later a difference tells that
// the Deployment was resized, and how large this set's share was.
func noteSize(rs *appsv1.ReplicaSet, d *appsv1.Deployment) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	rs.Annotations[desiredKey] = strconv.Itoa(int(desired(d)))
	rs.Annotations[maxKey] = strconv.Itoa(int(desired(d) + maxSurge(d)))
}

// newSet makes the set of the Deployment's template.
func (r *rollout) newSet(size int32) *appsv1.ReplicaSet {
	d := r.d
	sum := hash(&d.Spec.Template, d.Status.CollisionCount)
	template := d.Spec.Template.DeepCopy()
	template.Labels = withLabel(template.Labels, api.LabelPodTemplateHash, sum)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = withLabel(selector.MatchLabels, api.LabelPodTemplateHash, sum)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + sum, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(d, kind)},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &size, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: *template,
		},
	}
	inherit(rs, d)
	noteSize(rs, d)
	rs.Annotations[revisionKey] = strconv.FormatInt(r.nextRevision(), 10)
	return rs
}

func withLabel(labels map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(labels)+1)
	for k, v := range labels {
		out[k] = v
	}
	out[key] = value
	return out
}

// forgetHistory drops old sets beyond the history limit, lowest revision first. Only sets
// that are empty and known to be so go.
func (r *rollout) forgetHistory() {
	limit := r.d.Spec.RevisionHistoryLimit
	if limit == nil {
		return
	}
	var empty []*appsv1.ReplicaSet
	for _, rs := range r.old {
		if rs.DeletionTimestamp == nil && r.now(rs) == 0 && rs.Status.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration {
			empty = append(empty, rs)
		}
	}
	slices.SortStableFunc(empty, func(a, b *appsv1.ReplicaSet) int { return int(revisionOf(a) - revisionOf(b)) })
	if surplus := len(empty) - int(*limit); surplus > 0 {
		r.remove = empty[:surplus]
	}
}
