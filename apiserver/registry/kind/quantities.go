package kind

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// maxScale is the largest power of ten below 2^63.
const maxScale = 18

// capped brings a quantity within the bounds that the API documents: at most 2^63-1 in
// magnitude. A short text such as 1e999999999 stands for a number with so many digits
// that comparing or printing it would keep the server busy for minutes, so this must come
// before anything else looks at the value.
func capped(q resource.Quantity) resource.Quantity {
	sign, digits := q.Sign(), q.DeepCopy() // AsDec changes its receiver's form
	if sign == 0 || -digits.AsDec().Scale() <= maxScale {
		return q
	}
	if sign < 0 {
		return *resource.NewQuantity(-math.MaxInt64, q.Format)
	}
	return *resource.NewQuantity(math.MaxInt64, q.Format)
}

// TidyQuantities caps what a list holds, and rounds up to thousandths, the finest that
// anything here counts.
func TidyQuantities(lists ...corev1.ResourceList) {
	for _, l := range lists {
		for name, q := range l {
			q = capped(q)
			q.RoundUp(resource.Milli)
			l[name] = q
		}
	}
}

// TidyQuantity is TidyQuantities for one.
func TidyQuantity(q *resource.Quantity) {
	if q != nil {
		*q = capped(*q)
	}
}
