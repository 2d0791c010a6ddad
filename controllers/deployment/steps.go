package deployment

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// The two strategies beyond Kubernetes: see docs/rollouts.md.
const (
	strategyCanary    = "canary"
	strategyBlueGreen = "blue-green"
)

// graceDefault is how long new pods may be not ready, once they were, before the rollout is aborted.
const graceDefault = 10 * time.Second

// scaleDownDefault is how long old pods stay after blue-green has switched, to switch back to.
const scaleDownDefault = 30 * time.Second

// step is one stage of a canary.
type step struct {
	Weight int           // percent of the pods that are new
	Pause  time.Duration // to wait when they are available; manual: until somebody promotes
	Manual bool
}

// String prints the step.
func (s step) String() string {
	switch {
	case s.Manual:
		return fmt.Sprintf("%d%% pause", s.Weight)
	case s.Pause > 0:
		return fmt.Sprintf("%d%% pause %s", s.Weight, s.Pause)
	}
	return fmt.Sprintf("%d%%", s.Weight)
}

// parseSteps reads "20% pause 30s, 50% pause, 100%". The last step is always 100 %: it is added if it is not there.
func parseSteps(text string) ([]step, error) {
	var steps []step
	last := 0
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 3 || len(words) > 1 && words[1] != "pause" {
			return nil, fmt.Errorf("step %q is not like 20%%, 20%% pause or 20%% pause 30s", strings.TrimSpace(part))
		}
		n, err := strconv.Atoi(strings.TrimSuffix(words[0], "%"))
		if err != nil || n <= last || n > 100 || !strings.HasSuffix(words[0], "%") {
			return nil, fmt.Errorf("step %q: the weight must be a percentage above %d%% and up to 100%%", strings.TrimSpace(part), last)
		}
		s := step{Weight: n, Manual: len(words) == 2}
		if len(words) == 3 {
			if s.Pause, err = time.ParseDuration(words[2]); err != nil || s.Pause <= 0 {
				return nil, fmt.Errorf("step %q: %q is no duration", strings.TrimSpace(part), words[2])
			}
		}
		steps, last = append(steps, s), n
	}
	if last < 100 {
		steps = append(steps, step{Weight: 100})
	}
	return steps, nil
}

// settings are what a Deployment's annotations ask for.
type settings struct {
	Strategy        string // empty: the Deployment's own
	Steps           []step
	Active, Preview string // Services; empty: none
	AutoPromote     *time.Duration
	Grace           time.Duration
	ScaleDown       time.Duration
}

func readSettings(d *appsv1.Deployment) (s settings, err error) {
	a := d.Annotations
	s = settings{Strategy: a[api.AnnotationStrategy], Active: a[api.AnnotationActiveService], Preview: a[api.AnnotationPreviewService], Grace: graceDefault, ScaleDown: scaleDownDefault}
	duration := func(key string, into *time.Duration) {
		text, ok := a[key]
		if !ok || err != nil {
			return
		}
		if *into, err = time.ParseDuration(text); err != nil || *into < 0 {
			err = fmt.Errorf("%s: %q is no duration", key, text)
		}
	}
	duration(api.AnnotationAnalysisGrace, &s.Grace)
	duration(api.AnnotationScaleDownDelay, &s.ScaleDown)
	if _, ok := a[api.AnnotationAutoPromote]; ok {
		s.AutoPromote = new(time.Duration)
		duration(api.AnnotationAutoPromote, s.AutoPromote)
	}
	if err != nil {
		return s, err
	}
	switch s.Strategy {
	case "":
	case strategyCanary:
		if s.Steps, err = parseSteps(a[api.AnnotationSteps]); err != nil {
			err = fmt.Errorf("%s: %w", api.AnnotationSteps, err)
		}
	case strategyBlueGreen:
		if s.Active == "" {
			err = fmt.Errorf("%s names no Service to switch", api.AnnotationActiveService)
		}
	default:
		err = fmt.Errorf("%s: %q is neither %s nor %s", api.AnnotationStrategy, s.Strategy, strategyCanary, strategyBlueGreen)
	}
	return s, err
}

// progress is how far the rollout of one revision is. It stands in an annotation of the revision's
// ReplicaSet, which is written with the sizes that follow from it, in one fenced write.
type progress struct {
	Revision string     `json:"revision"`
	Step     int        `json:"step"`              // from 0; of blue-green: 0 before the switch, 1 after it
	Begun    time.Time  `json:"begun"`             // when the step began
	Reached  *time.Time `json:"reached,omitempty"` // when all its pods were available
	Had      int32      `json:"had,omitempty"`     // how many they were then
	Sick     *time.Time `json:"sick,omitempty"`    // since when some of them are not any more
	Aborted  string     `json:"aborted,omitempty"` // why it was given up
	Done     bool       `json:"done,omitempty"`
}

func readProgress(rs *appsv1.ReplicaSet) (p progress) {
	if text, ok := rs.Annotations[api.AnnotationProgress]; ok {
		if json.Unmarshal([]byte(text), &p) != nil {
			return progress{} // somebody broke it: begin again
		}
	}
	return p
}

func (p progress) text() string {
	out, err := json.Marshal(p)
	if err != nil {
		panic(err) // times and strings always encode
	}
	return string(out)
}
