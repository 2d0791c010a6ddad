package api

// Annotations by which a Deployment asks for a strategy of miniorch's own, and by which it
// is told to go on or back. docs/rollouts.md describes them.
const (
	AnnotationStrategy       = "miniorch.dev/strategy"         // "canary" or "blue-green"
	AnnotationSteps          = "miniorch.dev/steps"            // of a canary: "20% pause 30s, 50% pause, 100%"
	AnnotationActiveService  = "miniorch.dev/active-service"   // that blue-green switches
	AnnotationPreviewService = "miniorch.dev/preview-service"  // that leads to the new revision alone
	AnnotationAutoPromote    = "miniorch.dev/auto-promote"     // how long blue-green waits before it switches by itself
	AnnotationAnalysisGrace  = "miniorch.dev/analysis-grace"   // how long new pods may be not ready before an abort
	AnnotationScaleDownDelay = "miniorch.dev/scale-down-delay" // how long old pods stay after the switch

	// AnnotationPromote is "REVISION/STEP" (from 1) or "REVISION/all": up to which step the rollout of
	// this revision may go on. AnnotationAbort is "REVISION": it is given up.
	AnnotationPromote = "miniorch.dev/promote"
	AnnotationAbort   = "miniorch.dev/abort"

	// AnnotationProgress and AnnotationStory stand on a revision's ReplicaSet: how far its rollout
	// is, and the steps that it took.
	AnnotationProgress = "miniorch.dev/progress"
	AnnotationStory    = "miniorch.dev/story"

	// ConditionRollout is the condition of a Deployment that tells how far its rollout is.
	ConditionRollout = "miniorch.dev/Rollout"
)
