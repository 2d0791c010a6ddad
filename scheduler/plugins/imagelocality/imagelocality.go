// Package imagelocality prefers nodes that have the pod's images already.
package imagelocality

import (
	"slices"
	"strings"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// What is small is fetched soon, and from some size on more does not matter.
const (
	leastBytes = 23 << 20
	mostBytes  = 1000 << 20 // for each container
)

const name = "ImageLocality"

// Plugin is ImageLocality.
type Plugin struct{}

// Name returns the plugin's name.
func (Plugin) Name() string { return name }

// Sign tells what the plugin reads.
func (Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	for _, image := range imagesOf(pod) {
		b = append(append(b, image...), ',')
	}
	return b, true
}

// imagesOf returns the names of the pod's images as nodes list them.
func imagesOf(pod *framework.PodInfo) (images []string) {
	spec := &pod.Pod.Spec
	for i := range spec.InitContainers {
		images = append(images, normalized(spec.InitContainers[i].Image))
	}
	for i := range spec.Containers {
		images = append(images, normalized(spec.Containers[i].Image))
	}
	return images
}

// normalized adds the tag that is meant when there is none.
func normalized(image string) string {
	if strings.LastIndex(image, ":") <= strings.LastIndex(image, "/") {
		return image + ":latest"
	}
	return image
}

// spread is which share of the nodes has an image: what all have is no reason to choose one,
// and what one alone has should not draw everybody there.
type spread struct {
	images []string
	share  []float64
}

// PreScore counts which nodes have the images, and skips pods whose images no node has.
func (Plugin) PreScore(state *framework.CycleState, pod *framework.PodInfo, nodes framework.Snapshot) *framework.Status {
	s := &spread{images: imagesOf(pod)}
	s.share = make([]float64, len(s.images))
	total := 0.0
	for _, n := range nodes.All() {
		if len(n.Images) == 0 {
			continue
		}
		for k, image := range s.images {
			if _, ok := n.Images[image]; ok {
				s.share[k]++
				total++
			}
		}
	}
	for k := range s.share {
		s.share[k] /= float64(max(1, nodes.Len()))
	}
	state.Put(name, s)
	if total == 0 {
		return framework.Skipped
	}
	return nil
}

// Ages reports whether a node has more or fewer of the pod's images than before.
func (Plugin) Ages(pod *framework.PodInfo, old, now *framework.NodeInfo) bool {
	if old.Node == now.Node {
		return false
	}
	return slices.ContainsFunc(imagesOf(pod), func(image string) bool {
		_, had := old.Images[image]
		_, has := now.Images[image]
		return had != has
	})
}

// Score rates the bytes that the node need not fetch.
func (Plugin) Score(state *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) int64 {
	s := framework.Value[*spread](state, name)
	var bytes int64
	for k, image := range s.images {
		bytes += int64(float64(node.Images[image]) * s.share[k])
	}
	most := int64(mostBytes * len(s.images))
	return framework.MaxScore * (min(max(bytes, leastBytes), most) - leastBytes) / (most - leastBytes)
}
