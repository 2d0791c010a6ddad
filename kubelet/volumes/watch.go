package volumes

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// objectKey names one ConfigMap or Secret that volumes show.
type objectKey struct {
	resource api.Resource
	ns, name string
}

// clientObject is nil for an object that a watch has seen vanish.
type clientObject = api.Object

// watchRetry is the pause after a watch that could not be had.
const watchRetry = time.Second

// objectsOf lists what the volumes of a pod show.
func objectsOf(pod *corev1.Pod) []objectKey {
	var keys []objectKey
	add := func(r api.Resource, name string) {
		if k := (objectKey{r, pod.Namespace, name}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	configMaps, secrets := api.ResourceFor[*corev1.ConfigMap](), api.ResourceFor[*corev1.Secret]()
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.ConfigMap != nil:
			add(configMaps, v.ConfigMap.Name)
		case v.Secret != nil:
			add(secrets, v.Secret.SecretName)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					add(configMaps, s.ConfigMap.Name)
				}
				if s.Secret != nil {
					add(secrets, s.Secret.Name)
				}
			}
		}
	}
	return keys
}

// register makes the pod known, so that its objects are watched.
func (m *Manager) register(pod *corev1.Pod) *podVolumes {
	m.mu.Lock()
	defer m.mu.Unlock()
	pv, ok := m.pods[pod.UID]
	if !ok {
		pv = &podVolumes{tokens: map[string]*token{}, objects: objectsOf(pod)}
		m.pods[pod.UID] = pv
		for _, k := range pv.objects {
			if m.wanted[k] == nil {
				m.wanted[k] = map[types.UID]int{}
			}
			m.wanted[k][pod.UID]++
		}
		m.signal()
	}
	pv.pod = pod
	return pv
}

func (m *Manager) forget(uid types.UID) *podVolumes {
	m.mu.Lock()
	defer m.mu.Unlock()
	pv, ok := m.pods[uid]
	if !ok {
		return nil
	}
	delete(m.pods, uid)
	delete(m.dirty, uid)
	for _, k := range pv.objects {
		delete(m.wanted[k], uid)
		if len(m.wanted[k]) == 0 {
			delete(m.wanted, k)
			delete(m.latest, k)
		}
	}
	m.signal()
	return pv
}

func (m *Manager) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Manager) refreshBy(pv *podVolumes, t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pv.refresh.IsZero() || t.Before(pv.refresh) {
		pv.refresh = t
		m.signal()
	}
}

// Run watches the objects that volumes show and writes volumes again when they, or tokens,
// want it, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	running := map[objectKey]context.CancelFunc{}
	timer := m.cfg.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		m.adjust(ctx, running, &watches)
		m.rewriteDirty(ctx)
		timer.Reset(m.untilRefresh())
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-m.wake:
		case <-timer.C():
			m.markDue()
		}
	}
}

// adjust starts the watches that are wanted and stops the others.
func (m *Manager) adjust(ctx context.Context, running map[objectKey]context.CancelFunc, all *sync.WaitGroup) {
	m.mu.Lock()
	wanted := slices.Collect(maps.Keys(m.wanted))
	m.mu.Unlock()
	for k, stop := range running {
		if !slices.Contains(wanted, k) {
			stop()
			delete(running, k)
		}
	}
	for _, k := range wanted {
		if running[k] == nil {
			sub, stop := context.WithCancel(ctx)
			running[k] = stop
			all.Go(func() { m.follow(sub, k) })
		}
	}
}

// follow watches one object until ctx ends.
func (m *Manager) follow(ctx context.Context, k objectKey) {
	for ctx.Err() == nil {
		yes := true
		w, err := m.transport.Watch(ctx, client.Request{Resource: k.resource, Namespace: k.ns}, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", k.name).String(), SendInitialEvents: &yes,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		})
		if err == nil {
			m.observeAll(k, w.ResultChan())
			w.Stop()
		} else if ctx.Err() == nil {
			m.cfg.Logger.Warn("cannot watch an object that volumes show", "object", k.resource.Name+" "+k.ns+"/"+k.name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-m.cfg.Clock.After(watchRetry):
		}
	}
}

// observeAll takes in one watch. An object that is not there when the watch has begun may have
// vanished while there was none.
func (m *Manager) observeAll(k objectKey, events <-chan watch.Event) {
	present := false
	for e := range events {
		obj, ok := e.Object.(api.Object)
		switch {
		case !ok || e.Type == watch.Error:
		case e.Type == watch.Deleted:
			m.observe(k, nil)
		case e.Type != watch.Bookmark:
			present = true
			m.observe(k, obj)
		case obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" && !present:
			m.observe(k, nil)
		}
	}
}

// observe notes the newest state of an object, nil if it is gone.
func (m *Manager) observe(k objectKey, obj clientObject) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wanted[k] == nil {
		return
	}
	m.latest[k] = obj
	for uid := range m.wanted[k] {
		m.dirty[uid] = true
	}
	m.signal()
}

// rewriteDirty writes what has changed. Pods that are being prepared come later: some wait for minutes
// for a volume, and must not hold up the others.
func (m *Manager) rewriteDirty(ctx context.Context) {
	m.mu.Lock()
	todo := slices.Collect(maps.Keys(m.dirty))
	clear(m.dirty)
	m.mu.Unlock()
	for _, uid := range todo {
		m.mu.Lock()
		pv, known := m.pods[uid]
		free := known && pv.writing.TryLock()
		if known && !free {
			m.dirty[uid] = true
		}
		m.mu.Unlock()
		if free {
			m.rewriteOne(ctx, pv)
		}
	}
}

// rewriteOne writes one pod's volumes and gives pv.writing back.
func (m *Manager) rewriteOne(ctx context.Context, pv *podVolumes) {
	defer pv.writing.Unlock()
	m.mu.Lock()
	pod := pv.pod
	m.mu.Unlock()
	if err := m.rewrite(ctx, pv, pod); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		m.cfg.Logger.Warn("cannot update volumes", "pod", pod.Namespace+"/"+pod.Name, "err", err)
	}
}

func (m *Manager) untilRefresh() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := time.Hour
	now := m.cfg.Clock.Now()
	for _, pv := range m.pods {
		if !pv.refresh.IsZero() {
			wait = min(wait, max(0, pv.refresh.Sub(now)))
		}
	}
	return wait
}

func (m *Manager) markDue() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.cfg.Clock.Now()
	for uid, pv := range m.pods {
		if !pv.refresh.IsZero() && !now.Before(pv.refresh) {
			pv.refresh = time.Time{}
			m.dirty[uid] = true
		}
	}
}

// live reads from the API: what a new pod sees is never older than the pod.
func (m *Manager) live(ctx context.Context, ns string) source {
	return source{
		configMap: func(name string) (*corev1.ConfigMap, error) {
			return client.Of[*corev1.ConfigMap](m.transport).Get(ctx, ns, name)
		},
		secret: func(name string) (*corev1.Secret, error) {
			return client.Of[*corev1.Secret](m.transport).Get(ctx, ns, name)
		},
	}
}

// cached reads what watches have seen, and asks the API for what they have not yet.
func (m *Manager) cached(ctx context.Context, ns string) source {
	live := m.live(ctx, ns)
	return source{
		configMap: func(name string) (*corev1.ConfigMap, error) {
			return fromWatch(m, ns, name, live.configMap)
		},
		secret: func(name string) (*corev1.Secret, error) {
			return fromWatch(m, ns, name, live.secret)
		},
	}
}

func fromWatch[T api.Object](m *Manager, ns, name string, live func(string) (T, error)) (T, error) {
	var none T
	r := api.ResourceFor[T]()
	m.mu.Lock()
	obj, seen := m.latest[objectKey{r, ns, name}]
	m.mu.Unlock()
	if !seen {
		return live(name)
	}
	if t, ok := obj.(T); ok {
		return t, nil
	}
	return none, apierrors.NewNotFound(r.GroupResource(), name)
}
