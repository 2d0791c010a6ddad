package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/kubelet/hollow"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
)

// graceful adds to the stand-in API server what a kubelet lives by: the deletion of a pod
// waits until its node says that it is over.
type graceful struct{ *clienttest.Server }

const waiting = "test/graceful"

func (g graceful) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	if req.Resource.Name != "pods" {
		return g.Server.Delete(ctx, req, opts)
	}
	obj, err := g.Get(ctx, req, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pod := obj.DeepCopyObject().(*corev1.Pod)
	grace := int64(30)
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	if opts.GracePeriodSeconds != nil {
		grace = *opts.GracePeriodSeconds
	}
	if p := opts.Preconditions; p != nil && p.UID != nil && *p.UID != pod.UID {
		return g.Server.Delete(ctx, req, opts) // refuses
	}
	if grace == 0 {
		if len(pod.Finalizers) == 0 {
			return g.Server.Delete(ctx, req, opts)
		}
		pod.Finalizers = nil
	} else {
		pod.Finalizers = []string{waiting}
		pod.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(time.Duration(grace) * time.Second)}
		pod.DeletionGracePeriodSeconds = &grace
	}
	_, err = g.Update(ctx, req, pod, metav1.UpdateOptions{})
	return err
}

// node is a simulated machine that outlives its agents.
type node struct {
	kubelet.Parts
	runtime *meddled
	network *hollow.Network
}

// meddled is the simulated runtime with failures on demand.
type meddled struct {
	*hollow.Runtime
	mu    sync.Mutex
	pull  func(ctx context.Context, req container.PullRequest) error
	start func(name string) error
	exec  func(name string, command []string) (string, int)
	stop  func(ctx context.Context, id string, req container.StopRequest) error
	log   []string // what was asked, in order
}

func (m *meddled) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *meddled) Pull(ctx context.Context, req container.PullRequest) (container.Image, error) {
	if m.pull != nil {
		if err := m.pull(ctx, req); err != nil {
			return container.Image{}, err
		}
	}
	return m.Runtime.Pull(ctx, req)
}

func (m *meddled) Start(ctx context.Context, id string) error {
	name := m.nameOf(id)
	if m.start != nil {
		if err := m.start(name); err != nil {
			return err
		}
	}
	m.note("start %s", name)
	return m.Runtime.Start(ctx, id)
}

func (m *meddled) Stop(ctx context.Context, id string, req container.StopRequest) error {
	m.note("stop %s %s", m.nameOf(id), req.Grace)
	if m.stop != nil {
		if err := m.stop(ctx, id, req); err != nil {
			return err
		}
	}
	return m.Runtime.Stop(ctx, id, req)
}

func (m *meddled) Exec(ctx context.Context, id string, req container.ExecRequest) (int, error) {
	name := m.nameOf(id)
	m.note("exec %s %s", name, strings.Join(req.Command, " "))
	if m.exec == nil {
		return m.Runtime.Exec(ctx, id, req)
	}
	output, code := m.exec(name, req.Command)
	fmt.Fprint(req.Stdout, output)
	return code, nil
}

func (m *meddled) nameOf(id string) string {
	all, _ := m.Containers(context.Background())
	for _, c := range all {
		if c.ID == id {
			return c.Name
		}
	}
	return id
}

func (m *meddled) logged() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.log, ", ")
}

type harness struct {
	t         testing.TB
	server    graceful
	node      node
	decisions *decision.Log
	stop      func()
	dir       string
	files     bool
}

// scenario runs f in virtual time with an agent on a simulated node.
func scenario(t *testing.T, f func(h *harness)) {
	synctest.Test(t, func(t *testing.T) {
		parts, r := hollow.Parts(clock.RealClock{})
		h := &harness{t: t, server: graceful{clienttest.NewServer(t)}, decisions: decision.NewLog(1000), dir: t.TempDir()}
		h.node = node{Parts: parts, runtime: &meddled{Runtime: r}, network: parts.Network.(*hollow.Network)}
		h.node.Parts.Runtime = h.node.runtime
		h.startAgent()
		f(h)
		h.stopAgent()
		synctest.Wait()
	})
}

// startAgent starts a new agent on the node, as after a crash of the old one.
func (h *harness) startAgent() {
	h.t.Helper()
	informers := clienttest.NewInformersWith(h.t, h.server, client.Config{Logger: slog.New(slog.DiscardHandler)})
	cfg := hollow.NodeConfig()
	k, err := kubelet.New(h.server, informers, h.node.Parts, kubelet.Config{
		NodeName: "n1", NodeIP: "10.89.0.2", RootDir: h.dir + "/root", LogDir: h.dir + "/logs", NoFiles: !h.files,
		ClusterDNS: []string{"10.96.0.10"}, Node: cfg, Rand: func() float64 { return 0 },
		Logger: slog.New(slog.DiscardHandler), Decisions: h.decisions,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Run(ctx) })
	running.Go(func() {
		if err := k.Run(ctx); err != nil {
			h.t.Errorf("the agent failed: %v", err)
		}
	})
	h.stop = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait()
}

func (h *harness) stopAgent() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// create stores a pod bound to the node and lets everything settle.
func (h *harness) create(name string, changes ...func(*corev1.Pod)) {
	h.t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Generation: 1},
		Spec: corev1.PodSpec{NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{
			{Name: "c", Image: "img", ImagePullPolicy: corev1.PullIfNotPresent}}},
	}
	for _, f := range changes {
		f(p)
	}
	if _, err := client.Of[*corev1.Pod](h.server).Create(h.t.Context(), p); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

// edit changes the spec of a stored pod, as some subresource would.
func (h *harness) edit(name string, change func(*corev1.Pod)) {
	h.t.Helper()
	p := h.pod(name).DeepCopy()
	change(p)
	p.Generation++
	if _, err := client.Of[*corev1.Pod](h.server).Update(h.t.Context(), p); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

func (h *harness) delete(name string, grace *int64) {
	h.t.Helper()
	err := client.Of[*corev1.Pod](h.server).Delete(h.t.Context(), "default", name, metav1.DeleteOptions{GracePeriodSeconds: grace})
	if err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

func (h *harness) pod(name string) *corev1.Pod {
	h.t.Helper()
	p, err := client.Of[*corev1.Pod](h.server).Get(h.t.Context(), "default", name)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *harness) exists(name string) bool {
	_, err := client.Of[*corev1.Pod](h.server).Get(h.t.Context(), "default", name)
	return err == nil
}

// line prints a pod as kubectl would, and its containers' states.
func (h *harness) line(name string) string {
	if !h.exists(name) {
		return "gone"
	}
	p := h.pod(name)
	out := []string{string(p.Status.Phase)}
	if p.Status.Reason != "" {
		out = append(out, p.Status.Reason)
	}
	if api.IsPodReady(p) {
		out = append(out, "ready")
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses) {
		out = append(out, fmt.Sprintf("%s[%d]:%s", s.Name, s.RestartCount, stateWord(s.State)))
	}
	return strings.Join(out, " ")
}

func stateWord(s corev1.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Terminated != nil:
		return fmt.Sprintf("%s(%d)", s.Terminated.Reason, s.Terminated.ExitCode)
	case s.Waiting != nil:
		return s.Waiting.Reason
	}
	return "-"
}

func (h *harness) expect(name, want string) {
	h.t.Helper()
	synctest.Wait()
	if got := h.line(name); got != want {
		h.t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// expectWithin waits in virtual time.
func (h *harness) expectWithin(d time.Duration, name, want string) {
	h.t.Helper()
	got := ""
	for end := time.Now().Add(d); ; time.Sleep(100 * time.Millisecond) {
		synctest.Wait()
		if got = h.line(name); got == want {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s is still %q after %s, want %q", name, got, d, want)
		}
	}
}

// exit ends the newest running instance of a container.
func (h *harness) exit(pod, name string, code int) {
	h.t.Helper()
	if err := h.node.runtime.Exit(h.running(pod, name), code); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

func (h *harness) running(pod, name string) string {
	h.t.Helper()
	all, _ := h.node.runtime.Containers(h.t.Context())
	for _, c := range all {
		if c.PodName == pod && c.Name == name && c.State == container.StateRunning {
			return c.ID
		}
	}
	h.t.Fatalf("no container %s of %s runs: %v", name, pod, all)
	return ""
}

// events lists the reasons of a pod's events, in the order of their first time.
func (h *harness) events(pod string) (reasons []string) {
	for _, e := range h.eventsOf(pod) {
		reasons = append(reasons, e.Reason)
	}
	return reasons
}

// messages returns what a pod's events of one reason say.
func (h *harness) messages(pod, reason string) (messages []string) {
	for _, e := range h.eventsOf(pod) {
		if e.Reason == reason {
			messages = append(messages, e.Message)
		}
	}
	return messages
}

func (h *harness) eventsOf(pod string) []*corev1.Event {
	synctest.Wait()
	events, _, err := client.Of[*corev1.Event](h.server).List(h.t.Context(), "", metav1.ListOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.SortStableFunc(events, func(a, b *corev1.Event) int {
		return strings.Compare(pad(a.ResourceVersion), pad(b.ResourceVersion))
	})
	return slices.DeleteFunc(events, func(e *corev1.Event) bool { return e.InvolvedObject.Name != pod })
}

func pad(rv string) string { return fmt.Sprintf("%12s", rv) }

// nothingLeft checks that the node holds nothing of any pod.
func (h *harness) nothingLeft() {
	h.t.Helper()
	synctest.Wait()
	containers, err1 := h.node.runtime.Containers(h.t.Context())
	networks, err2 := h.node.Network.Sandboxes(h.t.Context())
	volumes, err3 := h.node.Volumes.Pods(h.t.Context())
	if err := errors.Join(err1, err2, err3); err != nil || len(containers)+len(networks)+len(volumes) > 0 {
		h.t.Errorf("left behind: containers %v, networks %v, volumes %v, %v", containers, networks, volumes, err)
	}
}
