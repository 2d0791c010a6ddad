package controllertest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// Machines play the scheduler and the node agents: every pod is bound to the living node
// with the fewest pods, or to the one that it names, is ready a second later, and takes a second to go.
type Machines struct {
	t     testing.TB
	admin client.Transport
	inf   *client.Informers
	pods  *client.Informer[*corev1.Pod]
	loop  *reconcile.Loop
	names []string

	mu   sync.Mutex
	dead map[string]bool      // guarded by mu
	sick map[string]bool      // guarded by mu: images that never become ready
	home map[string]string    // guarded by mu: pod → node
	went map[string]time.Time // guarded by mu: when a pod was first seen, or seen to go
	used int                  // guarded by mu: addresses given

	// Ends tells whether a running pod ends, and with which exit code. Nil: none does. Set it before pods run.
	Ends func(p *corev1.Pod) (code int32, over bool)
}

const latency = time.Second

func newMachines(t testing.TB, admin client.Transport, nodes int) *Machines {
	m := &Machines{
		t: t, admin: admin, inf: clienttest.NewInformers(t, admin),
		dead: map[string]bool{}, sick: map[string]bool{}, home: map[string]string{}, went: map[string]time.Time{},
	}
	m.pods = client.InformerFor[*corev1.Pod](m.inf)
	m.loop = reconcile.New("machines", m, reconcile.Config{Logger: slog.New(slog.DiscardHandler), Rand: func() float64 { return 0.5 }})
	reconcile.Watch(m.loop, m.pods, reconcile.KeyOf)
	for n := range nodes {
		m.names = append(m.names, fmt.Sprint("node-", n+1))
	}
	return m
}

// Run plays until ctx ends.
func (m *Machines) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { _ = m.inf.Run(ctx) })
	running.Go(func() { _ = m.loop.Run(ctx) })
	for _, n := range m.names {
		running.Go(func() { m.beat(ctx, n) })
	}
	running.Wait()
	return ctx.Err()
}

// Kill lets a node fall silent, or come back.
func (m *Machines) Kill(node string, dead bool) {
	m.mu.Lock()
	m.dead[node] = dead
	m.mu.Unlock()
	m.lookAgain()
}

// Sicken lets no further pod of an image become ready, or heals it.
func (m *Machines) Sicken(image string, sick bool) {
	m.mu.Lock()
	m.sick[image] = sick
	m.mu.Unlock()
	m.lookAgain()
}

func (m *Machines) lookAgain() {
	for _, p := range m.pods.List("", nil) {
		m.loop.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
}

func (m *Machines) isDead(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead[node]
}

// beat registers a node and renews its lease.
func (m *Machines) beat(ctx context.Context, name string) {
	nodes, leases := client.Of[*corev1.Node](m.admin), client.Of[*coordinationv1.Lease](m.admin)
	if _, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		m.t.Errorf("registering %s: %v", name, err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name}}
	for tick := time.NewTicker(10 * time.Second); ctx.Err() == nil; {
		if !m.isDead(name) {
			m.ready(ctx, name)
			lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now()))
			if lease.ResourceVersion == "" {
				if made, err := leases.Create(ctx, lease.DeepCopy()); err == nil {
					lease = made.DeepCopy()
				}
			} else if made, err := leases.Update(ctx, lease.DeepCopy()); err == nil {
				lease = made.DeepCopy()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// ready says that a node is ready, if it does not say so yet.
func (m *Machines) ready(ctx context.Context, name string) {
	nodes := client.Of[*corev1.Node](m.admin)
	for range 5 {
		n, err := nodes.Get(ctx, "", name)
		if err != nil || api.IsNodeReady(n) {
			return
		}
		n = n.DeepCopy()
		n.Status.Conditions = nil
		for _, c := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
			status := corev1.ConditionFalse
			if c == corev1.NodeReady {
				status = corev1.ConditionTrue
			}
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: c, Status: status, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()})
		}
		if _, err = nodes.UpdateStatus(ctx, n); err == nil {
			return
		}
	}
}

// Reconcile moves one pod a step on.
func (m *Machines) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
	p, ok := m.pods.Get(key.Namespace, key.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !ok {
		delete(m.home, key.String())
		delete(m.went, key.String())
		return reconcile.Result{}, nil
	}
	if m.dead[p.Spec.NodeName] {
		return reconcile.Result{}, nil
	}
	switch {
	case p.Spec.NodeName == "" && p.DeletionTimestamp == nil:
		return reconcile.Result{}, m.bind(ctx, p)
	case p.Spec.NodeName == "":
		return reconcile.Result{}, nil
	case p.DeletionTimestamp != nil:
		return m.after(key.String()+"/stop", func() error {
			if !api.IsPodTerminal(p) {
				stored, err := m.finish(ctx, p, 137)
				if err != nil {
					return err
				}
				p = stored
			}
			err := client.Of[*corev1.Pod](m.admin).Delete(ctx, p.Namespace, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.UID}})
			delete(m.went, key.String()+"/stop")
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				return nil
			}
			return err
		})
	case m.Ends != nil && api.IsPodReady(p) && !api.IsPodTerminal(p):
		code, over := m.Ends(p)
		if !over {
			return reconcile.Result{}, nil
		}
		return m.after(key.String()+"/end", func() error {
			_, err := m.finish(ctx, p, code)
			return err
		})
	case api.IsPodReady(p) || api.IsPodTerminal(p) || m.sick[p.Spec.Containers[0].Image]:
		return reconcile.Result{}, nil
	}
	return m.after(key.String(), func() error { return m.start(ctx, p) })
}

// after runs f when latency has passed since the first call with this key.
func (m *Machines) after(key string, f func() error) (reconcile.Result, error) {
	first, ok := m.went[key]
	if !ok {
		m.went[key] = time.Now()
		return reconcile.Result{After: latency}, nil
	}
	if left := latency - time.Since(first); left > 0 {
		return reconcile.Result{After: left}, nil
	}
	return reconcile.Result{}, f()
}

func (m *Machines) bind(ctx context.Context, p *corev1.Pod) error {
	load := map[string]int{}
	for _, n := range m.home {
		load[n]++
	}
	best, only := "", namedNode(p)
	for _, n := range m.names {
		node, err := client.Of[*corev1.Node](m.admin).Get(ctx, "", n)
		if err != nil || only != "" && only != n || only == "" && len(node.Spec.Taints) > 0 {
			continue
		}
		if best == "" || load[n] < load[best] {
			best = n
		}
	}
	if best == "" {
		return fmt.Errorf("no node")
	}
	m.home[p.Namespace+"/"+p.Name] = best
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: best}}
	_, err := m.admin.Create(ctx, client.Request{Resource: api.ResourceFor[*corev1.Pod](), Namespace: p.Namespace, Name: p.Name, Subresource: "binding"}, binding, metav1.CreateOptions{})
	return err
}

func (m *Machines) start(ctx context.Context, p *corev1.Pod) error {
	p = p.DeepCopy()
	if p.Status.PodIP == "" {
		m.used++
		p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", 244+m.used/65000, strings.Index("123456789", p.Spec.NodeName[5:])+9*(m.used/250%25), m.used%250+1)
		p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	p.Status.Phase = corev1.PodRunning
	if p.Status.StartTime == nil {
		p.Status.StartTime = ptr.To(metav1.Now())
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}
	if c := api.PodCondition(p, corev1.PodReady); c != nil {
		*c = ready
	} else {
		p.Status.Conditions = append(p.Status.Conditions, ready)
	}
	_, err := client.Of[*corev1.Pod](m.admin).UpdateStatus(ctx, p)
	return err
}

// finish writes how a pod ended.
func (m *Machines) finish(ctx context.Context, p *corev1.Pod, code int32) (*corev1.Pod, error) {
	p = p.DeepCopy()
	p.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		p.Status.Phase = corev1.PodFailed
	}
	if c := api.PodCondition(p, corev1.PodReady); c != nil {
		c.Status, c.LastTransitionTime = corev1.ConditionFalse, metav1.Now()
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: p.Spec.Containers[0].Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.Now()}},
	}}
	return client.Of[*corev1.Pod](m.admin).UpdateStatus(ctx, p)
}

// namedNode returns the node that a pod's required affinity asks for by name.
func namedNode(p *corev1.Pod) string {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}
