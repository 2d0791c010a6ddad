// Package autoscaling describes HorizontalPodAutoscaler: autoscaling/v2 as it is stored, and
// autoscaling/v1 as a view of it.
package autoscaling

import "github.com/miniorch/miniorch/apiserver/resource"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{
		horizontalPodAutoscalers(),
		horizontalPodAutoscalersV1(),
	}
}
