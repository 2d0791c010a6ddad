package e2e

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// kills is how often the master dies under a stream of creates.
const kills = 50

// testMasterKill kills the master again and again while objects are created: every create
// that was acknowledged is there, the watch resumes without a missed, repeated or reordered
// event, and no container is touched.
func (w *world) testMasterKill(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := w.containers(t)
	objects := w.clients.CoreV1().ConfigMaps("default")
	start, err := objects.List(ctx, metav1.ListOptions{})
	check(t, err)

	seen := newWatched()
	var working sync.WaitGroup
	working.Go(func() { w.follow(ctx, t, start.ResourceVersion, seen) })
	var mu sync.Mutex
	var acknowledged []string
	creating, stopCreating := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := 0; creating.Err() == nil; i++ {
				name := fmt.Sprintf("stream-%d-%d", writer, i)
				object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": "stream"}}}
				if _, err := objects.Create(creating, object, metav1.CreateOptions{}); err == nil {
					mu.Lock()
					acknowledged = append(acknowledged, name)
					mu.Unlock()
				} else {
					time.Sleep(5 * time.Millisecond) // the name is not used again: it may have been stored
				}
			}
		})
	}
	for i := range kills {
		time.Sleep(time.Duration(100+37*i%200) * time.Millisecond)
		check(t, w.Kill("master-1", false))
		check(t, w.Start(ctx, "master-1"))
	}
	time.Sleep(200 * time.Millisecond)
	stopCreating()
	writers.Wait()

	stored, err := objects.List(ctx, metav1.ListOptions{LabelSelector: "test=stream"})
	check(t, err)
	there := map[string]bool{}
	for _, o := range stored.Items {
		there[o.Name] = true
	}
	for _, name := range acknowledged {
		if !there[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	if len(acknowledged) < kills {
		t.Errorf("only %d creates were acknowledged during %d kills: the stream was no stream", len(acknowledged), kills)
	}
	eventually(t, "the watch to have told everything", func() error { return seen.complete(there) })
	cancel()
	working.Wait()
	seen.check(t)
	t.Logf("%d kills, %d creates acknowledged, %d stored, watch resumed %d times", kills, len(acknowledged), len(stored.Items), seen.resumed)

	for pod, id := range w.containers(t) {
		if was, there := before[pod]; there && was != id {
			t.Errorf("pod %s noticed: containers were %s, are %s", pod, was, id)
		}
	}
	check(t, objects.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "test=stream"}))
}

// watched is what the watch told, in order.
type watched struct {
	mu       sync.Mutex
	names    map[string]int // guarded by mu; how often each was added
	versions []int64        // guarded by mu
	wrong    []string       // guarded by mu
	resumed  int            // guarded by mu
}

func newWatched() *watched { return &watched{names: map[string]int{}} }

// follow watches from a version on, and after each interruption from the last one seen.
func (w *world) follow(ctx context.Context, t *testing.T, version string, seen *watched) {
	for ctx.Err() == nil {
		stream, err := w.clients.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{ResourceVersion: version, LabelSelector: "test=stream"})
		if err != nil {
			if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				seen.fail("the watch could not resume from %s: %v", version, err)
				return
			}
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for event := range stream.ResultChan() {
			object, ok := event.Object.(*corev1.ConfigMap)
			if !ok {
				if event.Type == watch.Error && ctx.Err() == nil {
					seen.fail("error event: %v", apierrors.FromObject(event.Object))
				}
				break
			}
			version = object.ResourceVersion
			seen.add(event.Type, object)
		}
		stream.Stop()
		seen.mu.Lock()
		seen.resumed++
		seen.mu.Unlock()
	}
}

func (s *watched) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

func (s *watched) add(kind watch.EventType, object *corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != watch.Added {
		s.wrong = append(s.wrong, fmt.Sprintf("%s of %s, although objects are only created", kind, object.Name))
	}
	version, err := strconv.ParseInt(object.ResourceVersion, 10, 64)
	if err != nil {
		s.wrong = append(s.wrong, err.Error())
	}
	s.names[object.Name]++
	s.versions = append(s.versions, version)
}

func (s *watched) complete(stored map[string]bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range stored {
		if s.names[name] == 0 {
			return fmt.Errorf("%s was not told; %d of %d were; %v", name, len(s.names), len(stored), s.wrong)
		}
	}
	return nil
}

func (s *watched) check(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		t.Error(w)
	}
	for name, times := range s.names {
		if times != 1 {
			t.Errorf("%s was told %d times", name, times)
		}
	}
	for i := 1; i < len(s.versions); i++ {
		if s.versions[i] <= s.versions[i-1] {
			t.Errorf("version %d came after %d", s.versions[i], s.versions[i-1])
		}
	}
}
