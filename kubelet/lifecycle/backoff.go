package lifecycle

import (
	"strconv"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// The back-off of restarts and of image pulls: doubled each time, forgotten after a
// container has run for long enough.
const (
	backOffBase  = 10 * time.Second
	backOffMax   = 300 * time.Second
	backOffReset = 10 * time.Minute

	// configRetryMax bounds the wait after a missing ConfigMap, Secret or volume: people
	// repair those by hand and expect to see it soon.
	configRetryMax = 20 * time.Second
	// briefRetry is the first wait for a container runtime that is away.
	briefRetry = 250 * time.Millisecond
	// freshFailure is how long a failed pull is shown as an error before it becomes a back-off.
	freshFailure = 2 * time.Second
)

// delay returns the wait after n failures in a row: none after none.
func delay(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return doubled(backOffBase, n-1, backOffMax)
}

func doubled(base time.Duration, times int, limit time.Duration) time.Duration {
	for range times {
		if base *= 2; base >= limit {
			return limit
		}
	}
	return base
}

// backOffStep says how many quick restarts in a row led to c. A container that ran for long
// has none.
func backOffStep(c *container.Container) int {
	ran := c.State == container.StateExited && c.Reason != container.ReasonStartError && !c.StartedAt.IsZero()
	if ran && c.FinishedAt.Sub(c.StartedAt) >= backOffReset {
		return 0
	}
	n, err := strconv.Atoi(c.Labels[LabelBackOff])
	if err != nil { // made before the label existed, or by hand
		return c.RestartCount
	}
	return n
}

// restartAt returns when an exited container may be followed by its successor. The first
// restart is immediate.
func restartAt(c *container.Container) time.Time {
	return c.FinishedAt.Add(delay(backOffStep(c)))
}

// retryAt returns when to try again after a failure that left no container.
func (f Failure) retryAt() time.Time {
	if f.Brief {
		return f.At.Add(doubled(briefRetry, f.Attempts-1, backOffBase))
	}
	switch f.Reason {
	case ReasonErrImagePull, ReasonInvalidImageName, ReasonCreateContainerError, ReasonRunContainerError:
		return f.At.Add(delay(f.Attempts))
	}
	return f.At.Add(doubled(time.Second, f.Attempts-1, configRetryMax))
}

// imageFailure reports whether f is about getting an image.
func (f Failure) imageFailure() bool { return f.Reason == ReasonErrImagePull }
