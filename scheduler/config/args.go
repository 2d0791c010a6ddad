package config

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultPreemptionArgs tunes DefaultPreemption.
type DefaultPreemptionArgs struct {
	metav1.TypeMeta             `json:",inline"`
	MinCandidateNodesPercentage *int32 `json:"minCandidateNodesPercentage,omitempty"`
	MinCandidateNodesAbsolute   *int32 `json:"minCandidateNodesAbsolute,omitempty"`
}

// InterPodAffinityArgs tunes InterPodAffinity.
type InterPodAffinityArgs struct {
	metav1.TypeMeta                    `json:",inline"`
	HardPodAffinityWeight              *int32 `json:"hardPodAffinityWeight,omitempty"`
	IgnorePreferredTermsOfExistingPods bool   `json:"ignorePreferredTermsOfExistingPods,omitempty"`
}

// NodeAffinityArgs tunes NodeAffinity.
type NodeAffinityArgs struct {
	metav1.TypeMeta `json:",inline"`
	AddedAffinity   *corev1.NodeAffinity `json:"addedAffinity,omitempty"`
}

// NodeResourcesFitArgs tunes NodeResourcesFit.
type NodeResourcesFitArgs struct {
	metav1.TypeMeta       `json:",inline"`
	IgnoredResources      []string         `json:"ignoredResources,omitempty"`
	IgnoredResourceGroups []string         `json:"ignoredResourceGroups,omitempty"`
	ScoringStrategy       *ScoringStrategy `json:"scoringStrategy,omitempty"`
}

// ScoringStrategy says how the use of a node becomes a score.
type ScoringStrategy struct {
	Type                     string                    `json:"type,omitempty"`
	Resources                []ResourceSpec            `json:"resources,omitempty"`
	RequestedToCapacityRatio *RequestedToCapacityRatio `json:"requestedToCapacityRatio,omitempty"`
}

// RequestedToCapacityRatio is a strategy's shape.
type RequestedToCapacityRatio struct {
	Shape []ShapePoint `json:"shape,omitempty"`
}

// ShapePoint is a corner of a shape: the score (0 to 10) at a utilization (0 to 100).
type ShapePoint struct {
	Utilization int32 `json:"utilization"`
	Score       int32 `json:"score"`
}

// ResourceSpec is a resource with its weight.
type ResourceSpec struct {
	Name   string `json:"name"`
	Weight int64  `json:"weight,omitempty"`
}

// NodeResourcesBalancedAllocationArgs tunes NodeResourcesBalancedAllocation.
type NodeResourcesBalancedAllocationArgs struct {
	metav1.TypeMeta `json:",inline"`
	Resources       []ResourceSpec `json:"resources,omitempty"`
}

// PodTopologySpreadArgs tunes PodTopologySpread.
type PodTopologySpreadArgs struct {
	metav1.TypeMeta    `json:",inline"`
	DefaultConstraints []corev1.TopologySpreadConstraint `json:"defaultConstraints,omitempty"`
	DefaultingType     string                            `json:"defaultingType,omitempty"`
}

// VolumeBindingArgs tunes VolumeBinding.
type VolumeBindingArgs struct {
	metav1.TypeMeta    `json:",inline"`
	BindTimeoutSeconds *int64       `json:"bindTimeoutSeconds,omitempty"`
	Shape              []ShapePoint `json:"shape,omitempty"`
}
