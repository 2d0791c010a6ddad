package framework

import "slices"

// Point is an extension point, as configuration files call it.
type Point string

// The extension points.
const (
	AtPreEnqueue Point = "preEnqueue"
	AtQueueSort  Point = "queueSort"
	AtPreFilter  Point = "preFilter"
	AtFilter     Point = "filter"
	AtPostFilter Point = "postFilter"
	AtPreScore   Point = "preScore"
	AtScore      Point = "score"
	AtReserve    Point = "reserve"
	AtPermit     Point = "permit"
	AtPreBind    Point = "preBind"
	AtBind       Point = "bind"
	AtPostBind   Point = "postBind"
)

// PointsOf returns the extension points that a plugin has.
func PointsOf(p Plugin) (points []Point) {
	add := func(has bool, more ...Point) {
		for _, point := range more {
			if has && !slices.Contains(points, point) {
				points = append(points, point)
			}
		}
	}
	add(is[PreEnqueue](p), AtPreEnqueue)
	add(is[QueueSort](p), AtQueueSort)
	add(is[Wide](p), AtPreFilter, AtFilter, AtPreScore, AtScore)
	add(is[PreFilter](p), AtPreFilter)
	add(is[Filter](p), AtFilter)
	add(is[PostFilter](p), AtPostFilter)
	add(is[PreScore](p), AtPreScore)
	add(is[Score](p), AtScore)
	add(is[Reserve](p), AtReserve)
	add(is[Permit](p), AtPermit)
	add(is[PreBind](p), AtPreBind)
	add(is[Bind](p), AtBind)
	add(is[PostBind](p), AtPostBind)
	return points
}

func is[T any](p Plugin) bool {
	_, ok := p.(T)
	return ok
}
