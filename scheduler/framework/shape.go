package framework

// Shape is a score that depends on how much is in use: straight lines between corners.
type Shape []Corner

// Corner is the score at a utilization, both in [0, 100].
type Corner struct{ Utilization, Score int64 }

// At returns the score of a utilization.
func (s Shape) At(utilization int64) int64 {
	for i, p := range s {
		if utilization > p.Utilization {
			continue
		}
		if i == 0 {
			return p.Score
		}
		from := s[i-1]
		return from.Score + (p.Score-from.Score)*(utilization-from.Utilization)/(p.Utilization-from.Utilization)
	}
	return s[len(s)-1].Score
}
