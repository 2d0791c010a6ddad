package framework

// NormalizeUp scales scores so that the highest becomes MaxScore. All stay 0 if it is 0.
func NormalizeUp(scores []int64) {
	top := highest(scores)
	if top == 0 {
		return
	}
	for i, s := range scores {
		scores[i] = s * MaxScore / top
	}
}

// NormalizeReversed scales scores so that 0 becomes MaxScore and the highest becomes 0. If
// all are 0 all become MaxScore.
func NormalizeReversed(scores []int64) {
	top := highest(scores)
	for i, s := range scores {
		if top == 0 {
			scores[i] = MaxScore
		} else {
			scores[i] = MaxScore - s*MaxScore/top
		}
	}
}

func highest(scores []int64) int64 {
	var top int64
	for _, s := range scores {
		top = max(top, s)
	}
	return top
}
