package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

var errNoPods = errors.New("no pods returned by selector while calculating replica count")

// tolerance is by how much usage may differ from its target before anything is done.
type tolerance struct{ down, up float64 }

func (t tolerance) allows(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

// proposal is what one metric asks for.
type proposal struct {
	Replicas    int32
	Utilization int32 // in percent, if the metric is one of utilization
	Average     int64 // in thousandths, per pod
	Total       int64 // in thousandths, of what is measured as a whole
}

// load is a target's pods and what they were measured at.
type load struct {
	Current   int32 // replicas, as the target says
	Pods      []*corev1.Pod
	Measured  samples
	Tolerance tolerance
	Now       time.Time
}

// byUtilization computes how many replicas bring the usage of a resource to a part of what the
// pods ask for.
func (l load) byUtilization(target int32, name corev1.ResourceName, container string) (proposal, error) {
	if len(l.Pods) == 0 {
		return proposal{}, errNoPods
	}
	c := sortPods(l.Pods, l.Measured, name == corev1.ResourceCPU, l.Now)
	asked, err := requests(l.Pods, name, container)
	if err != nil {
		return proposal{}, err
	}
	measured := c.without(l.Measured)
	if len(measured) == 0 {
		return proposal{}, fmt.Errorf("did not receive metrics for targeted pods (pods might be unready)")
	}
	ratio, p, err := utilization(measured, asked, target)
	if err != nil {
		return proposal{}, err
	}
	p.Replicas = l.settle(c, measured, ratio, func(missing string) int64 {
		return asked[missing] * int64(max(100, target)) / 100
	}, func(all samples) float64 {
		again, _, err := utilization(all, asked, target)
		if err != nil {
			return ratio
		}
		return again
	})
	return p, nil
}

func utilization(measured samples, asked map[string]int64, target int32) (ratio float64, p proposal, err error) {
	var used, wanted int64
	n := 0
	for name, s := range measured {
		request, ok := asked[name]
		if !ok {
			continue
		}
		used, wanted, n = used+s.Value, wanted+request, n+1
	}
	if wanted == 0 {
		return 0, p, fmt.Errorf("no metrics returned matched known pods")
	}
	p.Utilization, p.Average = int32(used*100/wanted), used/int64(n)
	return float64(p.Utilization) / float64(target), p, nil
}

// byAverage computes how many replicas bring the average of something to the target.
func (l load) byAverage(target int64, isCPU bool) (proposal, error) {
	if len(l.Pods) == 0 {
		return proposal{}, errNoPods
	}
	c := sortPods(l.Pods, l.Measured, isCPU, l.Now)
	measured := c.without(l.Measured)
	if len(measured) == 0 {
		return proposal{}, fmt.Errorf("did not receive metrics for targeted pods (pods might be unready)")
	}
	p := proposal{Average: average(measured)}
	p.Replicas = l.settle(c, measured, float64(p.Average)/float64(target), func(string) int64 { return target },
		func(all samples) float64 { return float64(average(all)) / float64(target) })
	return p, nil
}

func average(measured samples) int64 {
	var sum int64
	for _, s := range measured {
		sum += s.Value
	}
	return sum / int64(len(measured))
}

// settle turns a ratio of usage to target into replicas. Who was not measured, or is not ready,
// is taken for what keeps the change small: for one who takes the full amount if pods would
// go, for one who takes nothing if more would come. If that turns the answer around, nothing is done.
func (l load) settle(c crowd, measured samples, ratio float64, full func(pod string) int64, again func(samples) float64) int32 {
	growing := ratio > 1
	if len(c.missing) == 0 && (len(c.unready) == 0 || !growing) {
		if l.Tolerance.allows(ratio) {
			return l.Current
		}
		return ceil(ratio * float64(c.ready))
	}
	for name := range c.missing {
		switch {
		case ratio < 1:
			measured[name] = sample{Value: full(name)}
		case growing:
			measured[name] = sample{}
		}
	}
	if growing {
		for name := range c.unready {
			measured[name] = sample{}
		}
	}
	now := again(measured)
	if l.Tolerance.allows(now) || ratio < 1 && now > 1 || growing && now < 1 {
		return l.Current
	}
	n := ceil(now * float64(len(measured)))
	if now < 1 && n > l.Current || now > 1 && n < l.Current {
		return l.Current
	}
	return n
}

// byTotal computes how many replicas bring a value that is no pod's own to the target.
func (l load) byTotal(total, target int64) proposal {
	ratio := float64(total) / float64(target)
	p := proposal{Total: total, Replicas: l.Current}
	switch {
	case l.Current == 0:
		p.Replicas = ceil(ratio)
	case !l.Tolerance.allows(ratio):
		ready := 0
		for _, pod := range l.Pods {
			if pod.Status.Phase == corev1.PodRunning && api.IsPodReady(pod) {
				ready++
			}
		}
		p.Replicas = ceil(ratio * float64(ready))
	}
	return p
}

// byShare computes how many replicas bring each one's share of a value to the target.
func (l load) byShare(total, target int64) proposal {
	p := proposal{Total: total, Replicas: l.Current}
	if l.Current > 0 {
		p.Average = int64(math.Ceil(float64(total) / float64(l.Current)))
	}
	if l.Current == 0 || !l.Tolerance.allows(float64(total)/float64(target*int64(l.Current))) {
		p.Replicas = ceil(float64(total) / float64(target))
	}
	return p
}

func ceil(x float64) int32 { return int32(min(math.Ceil(x), math.MaxInt32)) }
