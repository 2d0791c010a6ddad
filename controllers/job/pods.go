package job

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/controllers/names"
	"github.com/miniorch/miniorch/controllers/ownership"
	"github.com/miniorch/miniorch/pkg/api"
)

// indexVariable is how a container learns which index it works on.
const indexVariable = "JOB_COMPLETION_INDEX"

// noIndex is the index of a pod that has none.
const noIndex = -1

func isIndexed(j *batchv1.Job) bool {
	return ptr.Deref(j.Spec.CompletionMode, "") == batchv1.IndexedCompletion
}

// tracked tells whether a pod still waits to be counted.
func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

func hasEnded(p *corev1.Pod) bool { return api.IsPodTerminal(p) }

// isTerminating tells whether a pod was told to end and has not yet.
func isTerminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil && !hasEnded(p) }

// hasFailed tells whether a pod counts as failed. One that is being deleted does so at once, because a
// pod whose node is lost may never say how it ended; unless the job wants to know.
func hasFailed(p *corev1.Pod, j *batchv1.Job) bool {
	if p.Status.Phase == corev1.PodFailed {
		return true
	}
	return !replacesOnlyFailed(j) && p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded
}

func replacesOnlyFailed(j *batchv1.Job) bool {
	return ptr.Deref(j.Spec.PodReplacementPolicy, batchv1.TerminatingOrFailed) == batchv1.Failed
}

func indexOf(p *corev1.Pod) int {
	if n, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation]); err == nil && n >= 0 {
		return n
	}
	return noIndex
}

// failuresOf returns how often the pod's index had failed before it: those that count and those that do not.
func failuresOf(p *corev1.Pod) (counted, ignored int) {
	counted, _ = strconv.Atoi(p.Annotations[batchv1.JobIndexFailureCountAnnotation])
	ignored, _ = strconv.Atoi(p.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation])
	return counted, ignored
}

// endOf returns when the last container of a pod ended, or the best that is known of it.
func endOf(p *corev1.Pod, now time.Time) time.Time {
	var end time.Time
	for _, s := range p.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.FinishedAt.After(end) {
			end = t.FinishedAt.Time
		}
	}
	if !end.IsZero() {
		return end
	}
	if c := api.PodCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	if p.DeletionTimestamp != nil {
		grace := time.Duration(ptr.Deref(p.DeletionGracePeriodSeconds, 0)) * time.Second
		return p.DeletionTimestamp.Add(-grace)
	}
	return now
}

// sequence names the pods of a job without indexes.
func sequence(j *batchv1.Job) names.Sequence { return names.For(j.Name+"-", j.UID) }

// sequenceOf names the pods of one index: JOB-INDEX-LETTERS.
func sequenceOf(j *batchv1.Job, index int) names.Sequence {
	suffix := fmt.Sprintf("-%d-", index)
	name := j.Name
	if room := 58 - len(suffix); len(name) > room {
		name = name[:room]
	}
	return names.For(name+suffix, types.UID(fmt.Sprintf("%s/%d", j.UID, index)))
}

// nextNameOf returns the name after the last one that a pod of the index has. It follows
// from what is there, so that who sees less asks for a name that is taken.
func nextNameOf(j *batchv1.Job, index int, pods []*corev1.Pod) string {
	seq, next := sequenceOf(j, index), uint64(0)
	for _, p := range pods {
		if n, ok := seq.Ordinal(p.Name); ok {
			next = max(next, n+1)
		}
	}
	return seq.Name(next)
}

// newPod makes a pod from the job's template.
func newPod(j *batchv1.Job, c Creation) *corev1.Pod {
	t := j.Spec.Template.DeepCopy()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: j.Namespace, Name: c.Name, GenerateName: j.Name + "-",
			Labels: t.Labels, Annotations: t.Annotations,
			Finalizers:      append(slices.Clone(t.Finalizers), batchv1.JobTrackingFinalizer),
			OwnerReferences: []metav1.OwnerReference{ownership.Reference(j, kind)},
		},
		Spec: t.Spec,
	}
	if c.Index == noIndex {
		return p
	}
	annotate(p, batchv1.JobCompletionIndexAnnotation, c.Index)
	if j.Spec.BackoffLimitPerIndex != nil {
		annotate(p, batchv1.JobIndexFailureCountAnnotation, c.Failures)
		if c.Ignored > 0 {
			annotate(p, batchv1.JobIndexIgnoredFailureCountAnnotation, c.Ignored)
		}
	}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(c.Index)
	p.GenerateName = strings.TrimSuffix(p.GenerateName, "-") + fmt.Sprintf("-%d-", c.Index)
	p.Spec.Hostname = fmt.Sprintf("%s-%d", j.Name, c.Index)
	for i := range p.Spec.InitContainers {
		tellIndex(&p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		tellIndex(&p.Spec.Containers[i])
	}
	return p
}

func annotate(p *corev1.Pod, key string, n int) {
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[key] = strconv.Itoa(n)
}

func tellIndex(c *corev1.Container) {
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == indexVariable }) {
		return
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: indexVariable, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"},
	}})
}

// dispensable sorts active pods: who has done least goes first.
func dispensable(a, b *corev1.Pod) int {
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case p.Status.Phase != corev1.PodRunning:
			return 1
		case !api.IsPodReady(p):
			return 2
		}
		return 3
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(string(a.UID), string(b.UID)))
}
