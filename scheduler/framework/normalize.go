package framework

// NormalizeUp scales a score so that the highest becomes MaxScore and 0 stays. All stay 0 if
// it is 0.
func NormalizeUp(score, highest int64) int64 {
	if highest == 0 {
		return 0
	}
	return score * MaxScore / highest
}

// NormalizeReversed scales a score so that 0 becomes MaxScore and the highest becomes 0. If all
// are 0 all become MaxScore.
func NormalizeReversed(score, highest int64) int64 {
	if highest == 0 {
		return MaxScore
	}
	return MaxScore - score*MaxScore/highest
}

// Extremes returns the lowest and highest score, apart from NoScore; 0 and 0 if there is none.
func Extremes(scores []int64) (lowest, highest int64) {
	first := true
	for _, s := range scores {
		if s == NoScore {
			continue
		}
		if first {
			lowest, highest, first = s, s, false
		}
		lowest, highest = min(lowest, s), max(highest, s)
	}
	return lowest, highest
}

// NormalizeAll brings raw scores into [0, MaxScore] in place, by n if there is one.
func NormalizeAll(n Normalizer, scores []int64) {
	if n == nil {
		return
	}
	lowest, highest := Extremes(scores)
	for i, s := range scores {
		scores[i] = Normalized(n, s, lowest, highest)
	}
}

// Normalized brings one raw score into [0, MaxScore].
func Normalized(n Normalizer, score, lowest, highest int64) int64 {
	if score == NoScore {
		return 0
	}
	return n.Normalize(score, lowest, highest)
}
