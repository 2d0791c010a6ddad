package batch

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

// The limits of indexed jobs: what a job's status has to hold stays small enough to be stored.
const (
	maxIndexedParallelism     = 100_000
	manyCompletions           = 100_000
	maxParallelismWhenMany    = 10_000
	maxFailedIndexesWhenMany  = 10_000
	maxManagedByLength        = 63
	maxCronJobNameLength      = 52 // a Job's name is eleven longer, and is a label
	needsIndexed              = "requires indexed completion mode"
	restartPolicyJobsMayHave  = `valid values: "OnFailure", "Never"`
	onlyNever                 = `only "Never" is supported when %s is specified`
	selectorNotGenerated      = "`selector` not auto-generated"
	schedulingIsNotSupported  = "workload-aware scheduling is not enabled"
	selectorMustMatchTemplate = "`selector` does not match template `labels`"
)

func validateJob(j *batchv1.Job) field.ErrorList {
	path, s := field.NewPath("spec"), &j.Spec
	errs := validateJobSpec(s, path)
	errs = append(errs, validateJobSelector(j, path)...)
	if isIndexed(s) && ptr.Deref(s.Completions, 0) > 0 {
		last := fmt.Sprintf("%s-%d", j.Name, *s.Completions-1)
		for _, msg := range utilvalidation.IsDNS1123Label(last) {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+last+": "+msg))
		}
	}
	return errs
}

func isIndexed(s *batchv1.JobSpec) bool {
	return ptr.Deref(s.CompletionMode, "") == batchv1.IndexedCompletion
}

// validateJobSelector wants the selector to be the generated one, or a manual one to select the job's pods.
func validateJobSelector(j *batchv1.Job, path *field.Path) field.ErrorList {
	at, have := path.Child("selector"), j.Spec.Template.Labels
	if j.Spec.Selector == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := metavalidation.ValidateLabelSelector(j.Spec.Selector, metavalidation.LabelSelectorValidationOptions{}, at)
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	if err != nil {
		return errs
	}
	if !selector.Matches(labels.Set(have)) {
		errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels"), have, selectorMustMatchTemplate))
	}
	if ptr.Deref(j.Spec.ManualSelector, false) {
		return errs
	}
	want := jobLabels(j.Name, j.UID)
	for _, key := range []string{oldControllerUIDLabel, oldJobNameLabel, batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		if have[key] != want[key] {
			errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels").Key(key), have[key], "must be '"+want[key]+"'"))
		}
	}
	if !selector.Matches(labels.Set(want)) {
		errs = append(errs, field.Invalid(at, j.Spec.Selector, selectorNotGenerated))
	}
	return errs
}

// validateJobSpec checks what Jobs and the templates of CronJobs have in common.
func validateJobSpec(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := validateJobNumbers(s, path)
	errs = append(errs, validateCompletionMode(s, path)...)
	if s.ManagedBy != nil {
		errs = append(errs, validateManagedBy(*s.ManagedBy, path.Child("managedBy"))...)
	}
	if s.PodFailurePolicy != nil {
		errs = append(errs, validatePodFailurePolicy(s, path.Child("podFailurePolicy"))...)
	}
	if s.SuccessPolicy != nil {
		errs = append(errs, validateSuccessPolicy(s, path.Child("successPolicy"))...)
	}
	if p := s.PodReplacementPolicy; p != nil {
		allowed := []batchv1.PodReplacementPolicy{batchv1.Failed}
		if s.PodFailurePolicy == nil {
			allowed = append(allowed, batchv1.TerminatingOrFailed)
		}
		errs = append(errs, kind.OneOf(*p, path.Child("podReplacementPolicy"), allowed...)...)
	}
	if s.Scheduling != nil {
		errs = append(errs, field.Forbidden(path.Child("scheduling"), schedulingIsNotSupported))
	}
	return append(errs, validateJobPodTemplate(s, path.Child("template"))...)
}

func validateJobNumbers(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range []struct {
		name  string
		value *int32
	}{
		{"parallelism", s.Parallelism}, {"completions", s.Completions}, {"backoffLimit", s.BackoffLimit},
		{"backoffLimitPerIndex", s.BackoffLimitPerIndex}, {"maxFailedIndexes", s.MaxFailedIndexes},
		{"ttlSecondsAfterFinished", s.TTLSecondsAfterFinished},
	} {
		if n.value != nil {
			errs = append(errs, kind.NotNegative(*n.value, path.Child(n.name))...)
		}
	}
	if n := s.ActiveDeadlineSeconds; n != nil {
		errs = append(errs, kind.NotNegative(*n, path.Child("activeDeadlineSeconds"))...)
	}
	return errs
}

func validateCompletionMode(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if s.CompletionMode != nil && !isIndexed(s) {
		errs := kind.OneOf(*s.CompletionMode, path.Child("completionMode"), batchv1.IndexedCompletion, batchv1.NonIndexedCompletion)
		return append(errs, validateNotIndexed(s, path)...)
	}
	if !isIndexed(s) {
		return validateNotIndexed(s, path)
	}
	var errs field.ErrorList
	if s.Completions == nil {
		errs = append(errs, field.Required(path.Child("completions"), "when completion mode is Indexed"))
	}
	if p := ptr.Deref(s.Parallelism, 0); p > maxIndexedParallelism {
		errs = append(errs, field.Invalid(path.Child("parallelism"), p,
			fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", maxIndexedParallelism)))
	}
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if s.BackoffLimitPerIndex == nil || s.Completions == nil {
		return errs
	}
	return append(errs, validatePerIndex(s, path)...)
}

func validateNotIndexed(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n := s.BackoffLimitPerIndex; n != nil {
		errs = append(errs, field.Invalid(path.Child("backoffLimitPerIndex"), *n, needsIndexed))
	}
	if n := s.MaxFailedIndexes; n != nil {
		errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, needsIndexed))
	}
	return errs
}

// validatePerIndex bounds what the list of failed indexes can grow to.
func validatePerIndex(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	atMost := func(name string, n *int32, limit int32, why string) {
		if n != nil && *n > limit {
			errs = append(errs, field.Invalid(path.Child(name), *n, fmt.Sprintf("must be less than or equal to %d%s", limit, why)))
		}
	}
	if *s.Completions <= manyCompletions {
		if n := s.MaxFailedIndexes; n != nil && *n > *s.Completions {
			errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, "must be less than or equal to completions"))
		}
		return errs
	}
	why := fmt.Sprintf(" when completions are above %d and used with backoff limit per index", manyCompletions)
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(path.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
	}
	atMost("parallelism", s.Parallelism, maxParallelismWhenMany, why)
	atMost("maxFailedIndexes", s.MaxFailedIndexes, maxFailedIndexesWhenMany, why)
	return errs
}

// validateManagedBy wants "domain/path".
func validateManagedBy(name string, path *field.Path) field.ErrorList {
	if len(name) > maxManagedByLength {
		return field.ErrorList{field.TooLong(path, name, maxManagedByLength)}
	}
	return utilvalidation.IsDomainPrefixedPath(path, name)
}

func validateJobPodTemplate(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := podspec.ValidateAnyPodTemplate(&s.Template, path)
	at, policy := path.Child("spec", "restartPolicy"), s.Template.Spec.RestartPolicy
	switch {
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		errs = append(errs, field.Required(at, restartPolicyJobsMayHave))
	case policy == corev1.RestartPolicyOnFailure && s.PodFailurePolicy != nil:
		errs = append(errs, field.Invalid(at, policy, fmt.Sprintf(onlyNever, "podFailurePolicy")))
	case policy == corev1.RestartPolicyOnFailure && s.BackoffLimitPerIndex != nil:
		errs = append(errs, field.Invalid(at, policy, fmt.Sprintf(onlyNever, "backoffLimitPerIndex")))
	}
	return errs
}

func warnJob(j, old *batchv1.Job, isUpdate bool) []string {
	var all []string
	if msgs := utilvalidation.IsDNS1123Label(j.Name); len(msgs) > 0 && !isUpdate {
		all = append(all, fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "+
			"a DNS label is recommended: [%s]", strings.Join(msgs, ", ")))
	}
	return append(all, warnJobSpec(&j.Spec, specOf(old, isUpdate), field.NewPath("spec"))...)
}

func specOf(j *batchv1.Job, there bool) *batchv1.JobSpec {
	if !there {
		return nil
	}
	return &j.Spec
}

// warnJobSpec warns about what is new or changed; old is nil on create.
func warnJobSpec(s, old *batchv1.JobSpec, path *field.Path) []string {
	var all []string
	if isIndexed(s) && ptr.Deref(s.Completions, 0) > manyCompletions && ptr.Deref(s.Parallelism, 0) > maxParallelismWhenMany {
		all = append(all, "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "+
			"Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	if old == nil || !equality.Semantic.DeepEqual(s.Template, old.Template) {
		all = append(all, podspec.WarnPodSpec(&s.Template.Spec, path.Child("template", "spec"))...)
	}
	return all
}
