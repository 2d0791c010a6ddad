package deployment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

func TestParseSteps(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"20% pause 30s, 50% pause, 100%", "20% pause 30s, 50% pause, 100%"},
		{"10%", "10%, 100%"},
		{" 5%  pause , 6%", "5% pause, 6%, 100%"},
		{"", "error"}, {"20", "error"}, {"50%, 20%", "error"}, {"0%", "error"}, {"101%", "error"}, {"20% wait", "error"}, {"20% pause soon", "error"}, {"20% pause -1s", "error"}, {"20% pause 1s 2s", "error"},
	} {
		steps, err := parseSteps(tc.text)
		var words []string
		for _, s := range steps {
			words = append(words, s.String())
		}
		got := strings.Join(words, ", ")
		if err != nil {
			got = "error"
		}
		if got != tc.want {
			t.Errorf("%q: %s (%v), want %s", tc.text, got, err, tc.want)
		}
	}
}

// stageOf plays a Deployment with its sets: what is planned is done at once, and pods of images that
// are not sick are available in the next second.
type stageOf struct {
	t      *testing.T
	d      *appsv1.Deployment
	sets   []*appsv1.ReplicaSet
	routes map[string]string
	sick   map[string]bool
	now    time.Time
	least  int32 // available pods, ever
	said   []string
}

func (s *stageOf) step() Plan {
	for _, rs := range s.sets {
		rs.Status.Replicas, rs.Status.ObservedGeneration = replicas(rs), rs.Generation
		rs.Status.AvailableReplicas = replicas(rs)
		if s.sick[rs.Spec.Template.Spec.Containers[0].Image] {
			rs.Status.AvailableReplicas = 0
		}
		rs.Status.TerminatingReplicas = ptr.To(int32(0))
	}
	p := decide(observed{Deployment: s.d, Sets: s.sets, Routes: s.routes, Now: s.now})
	if p.Create != nil {
		p.Create.CreationTimestamp.Time = s.now
		s.sets = append(s.sets, p.Create)
	}
	for _, c := range p.Change {
		for i := range s.sets {
			if s.sets[i] == c.Old {
				s.sets[i] = c.New
			}
		}
	}
	for _, r := range p.Routes {
		s.routes[r.Service] = r.Hash
	}
	if p.Revision != "" {
		s.d.Annotations[revisionKey] = p.Revision
	}
	s.said = append(s.said, p.News...)
	var available int32
	for _, rs := range s.sets {
		if !s.sick[rs.Spec.Template.Spec.Containers[0].Image] {
			available += min(rs.Status.AvailableReplicas, replicas(rs))
		}
	}
	s.least = min(s.least, available)
	s.now = s.now.Add(time.Second)
	return p
}

// run steps for so long, and returns the last plan.
func (s *stageOf) run(d time.Duration) (p Plan) {
	for range int(d / time.Second) {
		p = s.step()
	}
	return p
}

// sizes prints the sets with pods, by image, and where the Services lead.
func (s *stageOf) sizes() string {
	var out []string
	image := map[string]string{"": "all"}
	for _, rs := range oldestFirst(s.sets) {
		image[hashOf(rs)] = rs.Spec.Template.Spec.Containers[0].Image
		if n := replicas(rs); n > 0 {
			out = append(out, fmt.Sprintf("%s:%d", rs.Spec.Template.Spec.Containers[0].Image, n))
		}
	}
	for _, name := range []string{"web", "preview"} {
		if at, ok := s.routes[name]; ok {
			out = append(out, name+"→"+image[at])
		}
	}
	return strings.Join(out, " ")
}

func (s *stageOf) wants(sizes, reason string) {
	s.t.Helper()
	p := s.step()
	if got := s.sizes(); got != sizes || p.Stage.Reason != reason {
		s.t.Fatalf("%s, %s (%s); want %s, %s\n%s", got, p.Stage.Reason, p.Stage.Message, sizes, reason, strings.Join(s.said, "\n"))
	}
}

// playing begins with four pods of v1 and then wants v2.
func playing(t *testing.T, annotations ...string) *stageOf {
	s := &stageOf{t: t, d: deploy(4, "v1", rolling("1", "0")), routes: map[string]string{}, sick: map[string]bool{}, now: now, least: 4}
	for i := 0; i < len(annotations); i += 2 {
		s.d.Annotations[annotations[i]] = annotations[i+1]
	}
	s.run(5 * time.Second)
	s.d.Spec.Template = template("v2")
	s.least = 4
	return s
}

func TestCanary(t *testing.T) {
	canary := []string{api.AnnotationStrategy, strategyCanary, api.AnnotationSteps, "25% pause 30s, 50% pause, 100%"}
	t.Run("to the end", func(t *testing.T) {
		s := playing(t, canary...)
		s.run(20 * time.Second)
		s.wants("v1:3 v2:1", "Paused")
		s.run(30 * time.Second)
		s.wants("v1:2 v2:2", "Paused")
		s.run(time.Hour)
		s.wants("v1:2 v2:2", "Paused")
		s.d.Annotations[api.AnnotationPromote] = "2/2"
		s.run(20 * time.Second)
		s.wants("v2:4", "Finished")
		if s.least < 4 {
			t.Errorf("only %d pods were available", s.least)
		}
	})
	t.Run("promoted as a whole", func(t *testing.T) {
		s := playing(t, canary...)
		s.run(10 * time.Second)
		s.d.Annotations[api.AnnotationPromote] = "2/all"
		s.run(20 * time.Second)
		s.wants("v2:4", "Finished")
	})
	t.Run("pods that never become available", func(t *testing.T) {
		s := playing(t, canary...)
		s.d.Spec.ProgressDeadlineSeconds = ptr.To(int32(60))
		s.sick["v2"] = true
		s.run(20 * time.Second)
		s.wants("v1:4 v2:1", "Progressing")
		s.run(60 * time.Second)
		s.wants("v1:4", reasonAborted)
		if s.least < 4 {
			t.Errorf("only %d pods were available", s.least)
		}
	})
	t.Run("pods that fail later", func(t *testing.T) {
		s := playing(t, append(canary, api.AnnotationAnalysisGrace, "5s")...)
		s.run(50 * time.Second)
		s.wants("v1:2 v2:2", "Paused")
		s.sick["v2"] = true
		s.wants("v1:2 v2:2", "Failing")
		s.run(20 * time.Second)
		s.wants("v1:4", reasonAborted)
		s.d.Spec.Template = template("v3") // what comes next begins anew, beside what is known to work
		s.run(20 * time.Second)
		s.wants("v1:3 v3:1", "Paused")
	})
	t.Run("aborted by hand, and rolled back", func(t *testing.T) {
		s := playing(t, canary...)
		s.run(20 * time.Second)
		s.d.Annotations[api.AnnotationAbort] = "2"
		s.run(20 * time.Second)
		s.wants("v1:4", reasonAborted)
		s.d.Spec.Template = template("v1")
		s.run(5 * time.Second)
		s.wants("v1:4", "Finished")
	})
	t.Run("resized on the way", func(t *testing.T) {
		s := playing(t, canary...)
		s.run(50 * time.Second)
		s.d.Spec.Replicas = ptr.To(int32(8))
		s.run(20 * time.Second)
		s.wants("v1:4 v2:4", "Paused")
	})
	t.Run("overtaken", func(t *testing.T) {
		s := playing(t, canary...)
		s.run(20 * time.Second)
		s.d.Spec.Template = template("v3")
		s.run(20 * time.Second)
		s.wants("v1:3 v3:1", "Paused")
	})
	t.Run("steps that nobody understands", func(t *testing.T) {
		s := playing(t, api.AnnotationStrategy, strategyCanary, api.AnnotationSteps, "some")
		s.run(20 * time.Second)
		s.wants("", "InvalidSettings")
	})
}

func TestBlueGreen(t *testing.T) {
	blueGreen := []string{api.AnnotationStrategy, strategyBlueGreen, api.AnnotationActiveService, "web", api.AnnotationPreviewService, "preview"}
	start := func(t *testing.T, more ...string) *stageOf {
		s := playing(t, append(blueGreen, more...)...)
		s.routes = map[string]string{"web": "", "preview": ""}
		return s
	}
	t.Run("promoted by hand", func(t *testing.T) {
		s := start(t)
		s.run(time.Hour)
		s.wants("v1:4 v2:4 web→v1 preview→v2", "Paused")
		s.d.Annotations[api.AnnotationPromote] = "2/1"
		s.wants("v1:4 v2:4 web→v2 preview→v2", "Switched")
		s.run(40 * time.Second)
		s.wants("v2:4 web→v2 preview→v2", "Finished")
	})
	t.Run("by itself", func(t *testing.T) {
		s := start(t, api.AnnotationAutoPromote, "20s", api.AnnotationScaleDownDelay, "5s")
		s.run(10 * time.Second)
		s.wants("v1:4 v2:4 web→v1 preview→v2", "Paused")
		s.run(40 * time.Second)
		s.wants("v2:4 web→v2 preview→v2", "Finished")
	})
	t.Run("back after the switch", func(t *testing.T) {
		s := start(t, api.AnnotationAutoPromote, "1s")
		s.run(15 * time.Second)
		s.wants("v1:4 v2:4 web→v2 preview→v2", "Switched")
		s.sick["v2"] = true
		s.run(20 * time.Second)
		s.wants("v1:4 web→v1 preview→v1", reasonAborted)
	})
	t.Run("no Service named", func(t *testing.T) {
		s := playing(t, api.AnnotationStrategy, strategyBlueGreen)
		s.wants("", "InvalidSettings")
	})
	t.Run("given up as a strategy", func(t *testing.T) {
		s := start(t, api.AnnotationAutoPromote, "1s")
		s.run(time.Minute)
		delete(s.d.Annotations, api.AnnotationStrategy)
		s.wants("v2:4 web→all preview→all", "")
	})
}
