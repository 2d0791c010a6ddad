package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
	"github.com/miniorch/miniorch/pkg/reconcile"
)

// world is a real API server with all controllers and play-acted machines, in virtual time.
type world struct {
	*testing.T
	admin     client.Transport
	handler   http.Handler // takes adminToken
	machines  *machines
	decisions *decision.Log
}

const adminToken = "admin"

// inWorld runs test in a synctest bubble. between may stand between controllers and server.
func inWorld(t *testing.T, nodes int, between func(client.Transport) client.Transport, test func(w *world)) {
	t.Helper()
	inWorldOf(t, nodes, between, true, test)
}

// inWorldOf is inWorld, and may leave the controllers out.
func inWorldOf(t *testing.T, nodes int, between func(client.Transport) client.Transport, controllers bool, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := apiservertest.Start(t, apiservertest.WithoutServiceAccount(), apiservertest.WithConfig(func(c *apiserver.Config) {
			c.StaticTokens = map[string]auth.User{adminToken: auth.Admin()}
		}))
		w := &world{T: t, admin: server.Client(auth.Admin()), handler: server.Handler(), decisions: decision.NewLog(10000)}
		transport := server.Client(auth.Component(auth.UserControllerManager))
		if between != nil {
			transport = between(transport)
		}
		informers := clienttest.NewInformers(t, transport)
		manager := New(transport, informers, Config{
			Logger: slog.New(slog.DiscardHandler), Decisions: w.decisions, RootCA: []byte("pem"), ClusterCIDR: netip.MustParsePrefix("10.244.0.0/16"),
		})
		w.machines = newMachines(t, w.admin, nodes)
		if controllers {
			clienttest.Run(t, informers.Run)
			clienttest.Run(t, manager.Run)
		} else {
			apiservertest.AddServiceAccount(t, server, "default")
		}
		clienttest.Run(t, w.machines.Run)
		w.tick(2 * time.Second)
		test(w)
	})
}

// tick lets time pass.
func (w *world) tick(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func create[T api.Object](w *world, obj T) T {
	w.Helper()
	made, err := client.Of[T](w.admin).Create(w.Context(), obj)
	if err != nil {
		w.Fatalf("creating %T: %v", obj, err)
	}
	return made
}

func get[T api.Object](w *world, ns, name string) T {
	w.Helper()
	obj, err := client.Of[T](w.admin).Get(w.Context(), ns, name)
	if err != nil {
		w.Fatalf("reading %s/%s: %v", ns, name, err)
	}
	return obj
}

func exists[T api.Object](w *world, ns, name string) bool {
	w.Helper()
	_, err := client.Of[T](w.admin).Get(w.Context(), ns, name)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatalf("reading %s/%s: %v", ns, name, err)
	}
	return err == nil
}

func list[T api.Object](w *world, ns, selector string) []T {
	w.Helper()
	objs, _, err := client.Of[T](w.admin).List(w.Context(), ns, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		w.Fatalf("listing: %v", err)
	}
	return objs
}

// edit changes an object, again if somebody else did so meanwhile.
func edit[T api.Object](w *world, ns, name string, change func(T)) {
	w.Helper()
	for range 20 {
		obj := get[T](w, ns, name).DeepCopyObject().(T)
		change(obj)
		_, err := client.Of[T](w.admin).Update(w.Context(), obj)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			w.Fatalf("updating %s/%s: %v", ns, name, err)
		}
	}
	w.Fatalf("updating %s/%s: conflicts without end", ns, name)
}

func remove[T api.Object](w *world, ns, name string, how metav1.DeletionPropagation) {
	w.Helper()
	if err := client.Of[T](w.admin).Delete(w.Context(), ns, name, metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		w.Fatalf("deleting %s/%s: %v", ns, name, err)
	}
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

func (w *world) events(reason string) []string {
	var out []string
	for _, e := range list[*corev1.Event](w, "", "") {
		if e.Reason == reason {
			out = append(out, e.InvolvedObject.Name+": "+e.Message)
		}
	}
	return out
}

// machines play the scheduler and the node agents: every pod is bound to the living node
// with the fewest pods, is ready a second later, and takes a second to go.
type machines struct {
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

	// ends tells whether a running pod ends, and with which exit code. Nil: none does. Set it before pods run.
	ends func(p *corev1.Pod) (code int32, over bool)
}

const latency = time.Second

func newMachines(t testing.TB, admin client.Transport, nodes int) *machines {
	m := &machines{
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
func (m *machines) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { _ = m.inf.Run(ctx) })
	running.Go(func() { _ = m.loop.Run(ctx) })
	for _, n := range m.names {
		running.Go(func() { m.beat(ctx, n) })
	}
	running.Wait()
	return ctx.Err()
}

func (m *machines) kill(node string, dead bool) {
	m.mu.Lock()
	m.dead[node] = dead
	m.mu.Unlock()
	for _, p := range m.pods.List("", nil) {
		m.loop.Enqueue(reconcile.Key{Namespace: p.Namespace, Name: p.Name})
	}
}

func (m *machines) isDead(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead[node]
}

// beat registers a node and renews its lease.
func (m *machines) beat(ctx context.Context, name string) {
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
func (m *machines) ready(ctx context.Context, name string) {
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
func (m *machines) Reconcile(ctx context.Context, key reconcile.Key) (reconcile.Result, error) {
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
	case m.ends != nil && api.IsPodReady(p) && !api.IsPodTerminal(p):
		code, over := m.ends(p)
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
func (m *machines) after(key string, f func() error) (reconcile.Result, error) {
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

func (m *machines) bind(ctx context.Context, p *corev1.Pod) error {
	load := map[string]int{}
	for _, n := range m.home {
		load[n]++
	}
	best := ""
	for _, n := range m.names {
		node, err := client.Of[*corev1.Node](m.admin).Get(ctx, "", n)
		if err != nil || len(node.Spec.Taints) > 0 {
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

func (m *machines) start(ctx context.Context, p *corev1.Pod) error {
	p = p.DeepCopy()
	if p.Status.PodIP == "" {
		m.used++
		p.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", 244+m.used/65000, strings.Index("123456789", p.Spec.NodeName[5:])+9*(m.used/250%25), m.used%250+1)
		p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	p.Status.Phase = corev1.PodRunning
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
func (m *machines) finish(ctx context.Context, p *corev1.Pod, code int32) (*corev1.Pod, error) {
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

func meta(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }
