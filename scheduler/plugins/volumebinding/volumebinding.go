// Package volumebinding keeps pods on nodes that their volumes reach. For claims whose class
// waits for the first consumer it chooses a free volume on the node, or has one provisioned
// there, and binds the pod only when that is done. Claims of other classes must be bound
// before their pods are placed.
package volumebinding

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/scheduler/framework"
)

const name = "VolumeBinding"

// Config tunes the plugin; zero fields have defaults.
type Config struct {
	Clock clock.WithTicker // default: the real clock
	// Patience is how long a pod waits for its volumes to be provisioned and bound before it is
	// scheduled anew; default 10 minutes.
	Patience time.Duration
}

// Plugin is VolumeBinding.
type Plugin struct {
	cfg        Config
	claim      client.Client[*corev1.PersistentVolumeClaim]
	volume     client.Client[*corev1.PersistentVolume]
	claims     *client.Informer[*corev1.PersistentVolumeClaim]
	volumes    *client.Informer[*corev1.PersistentVolume]
	classes    *client.Informer[*storagev1.StorageClass]
	drivers    *client.Informer[*storagev1.CSIDriver]
	capacities *client.Informer[*storagev1.CSIStorageCapacity]
	nodes      *client.Informer[*corev1.Node]

	mu       sync.RWMutex
	taken    map[string]string                   // guarded by mu: free volumes that are promised, to which claim
	promises map[string]promise                  // guarded by mu: by claim
	waiters  map[string]map[chan<- struct{}]bool // guarded by mu: who waits for a claim
}

// promise is what a claim will get, as was decided for a pod that is not bound yet.
type promise struct {
	node   string
	volume string // empty: one that is provisioned
}

// Indexes of the informers, shared with who needs the same.
const (
	freeVolumes       = "scheduler-free-by-class"
	heldVolumes       = "scheduler-held-by-claim"
	capacitiesByClass = "by-class"
)

// New returns the plugin, which reads through informers and writes through t.
func New(t client.Transport, informers *client.Informers, cfg Config) *Plugin {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Minute
	}
	p := &Plugin{
		cfg:        cfg,
		claim:      client.Of[*corev1.PersistentVolumeClaim](t),
		volume:     client.Of[*corev1.PersistentVolume](t),
		claims:     client.InformerFor[*corev1.PersistentVolumeClaim](informers),
		volumes:    client.InformerFor[*corev1.PersistentVolume](informers),
		classes:    client.InformerFor[*storagev1.StorageClass](informers),
		drivers:    client.InformerFor[*storagev1.CSIDriver](informers),
		capacities: client.InformerFor[*storagev1.CSIStorageCapacity](informers),
		nodes:      client.InformerFor[*corev1.Node](informers),
		taken:      map[string]string{}, promises: map[string]promise{}, waiters: map[string]map[chan<- struct{}]bool{},
	}
	p.volumes.Index(freeVolumes, func(v *corev1.PersistentVolume) []string {
		if claims.Free(v) {
			return []string{claims.ClassOfVolume(v)}
		}
		return nil
	})
	p.volumes.Index(heldVolumes, func(v *corev1.PersistentVolume) []string {
		if ref := v.Spec.ClaimRef; ref != nil {
			return []string{ref.Namespace + "/" + ref.Name}
		}
		return nil
	})
	p.capacities.Index(capacitiesByClass, func(c *storagev1.CSIStorageCapacity) []string { return []string{c.StorageClassName} })
	p.claims.Handle(p.claimChanged)
	p.volumes.Handle(p.volumeChanged)
	return p
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return name }

// Sign tells that pods with claims share with no others: claims and volumes decide.
func (*Plugin) Sign(b []byte, pod *framework.PodInfo) ([]byte, bool) {
	return b, len(claims.Names(pod.Pod)) == 0
}

// state is what is known of a pod's claims.
type state struct {
	bound   []*corev1.PersistentVolume
	missing bool // a bound claim's volume is not there
	open    []*openClaim
	plan    *plan // once a node is reserved
}

// PreFilter looks the pod's claims up, and refuses a pod that would wait for more than a node.
func (p *Plugin) PreFilter(cycle *framework.CycleState, pod *framework.PodInfo, _ framework.Snapshot) *framework.Status {
	s := &state{}
	for i := range pod.Pod.Spec.Volumes {
		claimName, ephemeral := claims.NameFor(pod.Pod, &pod.Pod.Spec.Volumes[i])
		if claimName == "" {
			continue
		}
		if st := p.look(s, pod.Pod, claimName, ephemeral); !st.OK() {
			return st
		}
	}
	if len(s.bound)+len(s.open) == 0 && !s.missing {
		return framework.Skipped
	}
	bySize(s.open)
	cycle.Put(name, s)
	return nil
}

// look adds one claim to what is known.
func (p *Plugin) look(s *state, pod *corev1.Pod, claimName string, ephemeral bool) *framework.Status {
	c, ok := p.claims.Get(pod.Namespace, claimName)
	switch {
	case !ok && ephemeral:
		return refuse("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", claimName)
	case !ok:
		return refuse("persistentvolumeclaim %q not found", claimName)
	case c.Status.Phase == corev1.ClaimLost:
		return refuse("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claimName, c.Spec.VolumeName)
	case c.DeletionTimestamp != nil:
		return refuse("persistentvolumeclaim %q is being deleted", claimName)
	case ephemeral && !claims.MadeFor(c, pod):
		return refuse("PVC %s/%s was not created for pod %s/%s (pod is not owner)", pod.Namespace, claimName, pod.Namespace, pod.Name)
	case claims.IsBound(c):
		if v, ok := p.volumes.Get("", c.Spec.VolumeName); ok {
			s.bound = append(s.bound, v)
		} else {
			s.missing = true
		}
		return nil
	}
	class, ok := p.classes.Get("", claims.ClassOf(c))
	if !ok || !claims.Waits(class) || c.Spec.VolumeName != "" {
		return unbound
	}
	s.open = append(s.open, p.opened(c, class))
	return nil
}

// Filter says whether the pod's volumes can be had on the node.
func (p *Plugin) Filter(cycle *framework.CycleState, _ *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	s := framework.Value[*state](cycle, name)
	if s == nil || node.Node == nil {
		return nil
	}
	if s.missing {
		return lostVolume
	}
	for _, v := range s.bound {
		if !claims.Reaches(v, node.Node) {
			return conflict
		}
	}
	_, st := p.planOn(s, node.Node)
	return st
}

// Reserve promises the volumes that were found on the node.
func (p *Plugin) Reserve(_ context.Context, cycle *framework.CycleState, _ *framework.PodInfo, node string) *framework.Status {
	s := framework.Value[*state](cycle, name)
	if s == nil || len(s.open) == 0 {
		return nil
	}
	own := *s // s is shared with who asked for the same
	n, ok := p.nodes.Get("", node)
	if !ok {
		return framework.Fail(fmt.Errorf("node %q is gone", node))
	}
	plan, st := p.planOn(s, n)
	if !st.OK() {
		return st
	}
	own.plan = plan
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range plan.bind {
		p.taken[b.volume.Name] = key(b.claim)
		p.promises[key(b.claim)] = promise{node, b.volume.Name}
	}
	for _, c := range plan.provision {
		p.promises[key(c)] = promise{node: node}
	}
	cycle.Put(name, &own)
	return nil
}
