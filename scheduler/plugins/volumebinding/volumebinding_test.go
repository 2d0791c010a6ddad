package volumebinding

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/scheduler/framework"
	"github.com/miniorch/miniorch/scheduler/framework/sample"
)

var (
	_ framework.Signer      = (*Plugin)(nil)
	_ framework.PreFilter   = (*Plugin)(nil)
	_ framework.Filter      = (*Plugin)(nil)
	_ framework.Reserve     = (*Plugin)(nil)
	_ framework.Slow        = (*Plugin)(nil)
	_ framework.EventSource = (*Plugin)(nil)
	_ framework.Hinter      = (*Plugin)(nil)
	_ framework.PreScore    = Scoring{}
	_ framework.Score       = Scoring{}
	_ framework.Slow        = Scoring{}
)

func from[T any](t *testing.T, text string) *T {
	t.Helper()
	obj := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("reading YAML: %v\n%s", err, text)
	}
	return obj
}

// plugin returns the plugin with its view of objs.
func plugin(t *testing.T, objs ...api.Object) (*Plugin, *clienttest.Server) {
	t.Helper()
	server := clienttest.NewServer(t, objs...)
	informers := clienttest.NewInformers(t, server)
	p := New(server, informers, Config{})
	clienttest.Run(t, informers.Run)
	if err := informers.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, server
}

func user(claims ...string) *corev1.Pod {
	return sample.With(sample.Pod("p"), func(p *corev1.Pod) {
		for _, c := range claims {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: c, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c}}})
		}
	})
}

const asks = "accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}"

func claim(t *testing.T, name, spec, more string) *corev1.PersistentVolumeClaim {
	return from[corev1.PersistentVolumeClaim](t, "{metadata: {namespace: d, name: "+name+", uid: "+name+more+"}, spec: {"+asks+", "+spec+"}, status: {phase: Pending}}")
}

func bound(t *testing.T, name, volume string) *corev1.PersistentVolumeClaim {
	c := claim(t, name, "storageClassName: x, volumeName: "+volume, `, annotations: {pv.kubernetes.io/bind-completed: "yes"}`)
	c.Status.Phase = corev1.ClaimBound
	return c
}

// on returns a volume of a size and class that is on one host; empty: anywhere.
func on(t *testing.T, host, name, size, class string) *corev1.PersistentVolume {
	affinity := ""
	if host != "" {
		affinity = ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [" + host + "]}]}]}}"
	}
	return from[corev1.PersistentVolume](t, "{metadata: {name: "+name+"}, spec: {accessModes: [ReadWriteOnce], capacity: {storage: "+size+"}, storageClassName: "+class+affinity+"}, status: {phase: Available}}")
}

func class(name, provisioner string, waits bool, change ...func(*storagev1.StorageClass)) *storagev1.StorageClass {
	mode := storagev1.VolumeBindingImmediate
	if waits {
		mode = storagev1.VolumeBindingWaitForFirstConsumer
	}
	sc := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
	for _, f := range change {
		f(sc)
	}
	return sc
}

// https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
func TestFilter(t *testing.T) {
	zone := func(sc *storagev1.StorageClass) {
		sc.AllowedTopologies = []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: "zone", Values: []string{"b"}}}}}
	}
	local := func(n *corev1.Node) { n.Annotations = map[string]string{claims.LocalPathRoot: "/data"} }
	yes := true
	tests := []struct {
		name, reason string
		pod          *corev1.Pod
		objs         []api.Object
		node         *corev1.Node
		want         []string
	}{
		{"no claims", "nothing to say", user(), nil, nil, nil},
		{"missing", "it may come", user("c"), nil, nil, []string{`persistentvolumeclaim "c" not found`}},
		{"at once", "the binder has not bound it", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", "p", false)}, nil,
			[]string{"pod has unbound immediate PersistentVolumeClaims"}},
		{"bound here", "the volume is on the node", user("c"), []api.Object{bound(t, "c", "v"), on(t, "n1", "v", "2Gi", "x")}, nil, nil},
		{"bound elsewhere", "the volume is on another node", user("c"), []api.Object{bound(t, "c", "v"), on(t, "n2", "v", "2Gi", "x")}, nil,
			[]string{"node(s) had volume node affinity conflict"}},
		{"bound to nothing", "the volume is gone", user("c"), []api.Object{bound(t, "c", "v")}, nil,
			[]string{"node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"}},
		{"found here", "a free volume is on the node", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "2Gi", "x")}, nil, nil},
		{"found elsewhere", "and nobody makes one", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", claims.NoProvisioner, true), on(t, "n2", "v", "2Gi", "x")}, nil,
			[]string{"node(s) didn't find available persistent volumes to bind"}},
		{"one for two", "each claim needs its own", user("a", "b"), []api.Object{claim(t, "a", "storageClassName: x", ""), claim(t, "b", "storageClassName: x", ""), class("x", claims.NoProvisioner, true),
			on(t, "n1", "v", "2Gi", "x")}, nil, []string{"node(s) didn't find available persistent volumes to bind"}},
		{"two for two", "the small claim leaves the large volume", user("a", "b"), []api.Object{
			from[corev1.PersistentVolumeClaim](t, "{metadata: {namespace: d, name: a, uid: a}, spec: {accessModes: [ReadWriteOnce], storageClassName: x, resources: {requests: {storage: 5Gi}}}}"),
			claim(t, "b", "storageClassName: x", ""), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "6Gi", "x"), on(t, "", "w", "3Gi", "x")}, nil, nil},
		{"provisioned", "somebody makes one", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", "p", true)}, nil, nil},
		{"provisioned elsewhere", "not in this zone", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", "p", true, zone)}, nil,
			[]string{"node(s) didn't find available persistent volumes to bind"}},
		{"being provisioned elsewhere", "the choice was made", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ", annotations: {volume.kubernetes.io/selected-node: n2}"), class("x", "p", true)}, nil,
			[]string{"node(s) didn't find available persistent volumes to bind"}},
		{"full", "the driver says there is no room", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", "p", true),
			&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: &yes}},
			from[storagev1.CSIStorageCapacity](t, "{metadata: {namespace: d, name: r}, storageClassName: x, capacity: 1Gi, nodeTopology: {}}")}, nil,
			[]string{"node(s) did not have enough free storage"}},
		{"room", "the driver says there is room", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", "p", true),
			&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: &yes}},
			from[storagev1.CSIStorageCapacity](t, "{metadata: {namespace: d, name: r}, storageClassName: x, capacity: 10Gi, nodeTopology: {matchLabels: {kubernetes.io/hostname: n1}}}")}, nil, nil},
		{"local", "the node has a directory", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", claims.LocalPath, true)}, sample.With(sample.Node("n1"), local), nil},
		{"not local", "simulated nodes have none", user("c"), []api.Object{claim(t, "c", "storageClassName: x", ""), class("x", claims.LocalPath, true)}, nil,
			[]string{"node(s) did not have enough free storage"}},
		{"ephemeral", "its claim is still to be made", sample.With(sample.Pod("p"), func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
		}), nil, nil, []string{`waiting for ephemeral volume controller to create the persistentvolumeclaim "p-s"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := plugin(t, tt.objs...)
			node := tt.node
			if node == nil {
				node = sample.Node("n1")
			}
			if diff := cmp.Diff(tt.want, sample.Fits(p, tt.pod, sample.Info(node))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// cycle is one pod's way through the plugin on a node.
type cycle struct {
	p     *Plugin
	state *framework.CycleState
	pod   *framework.PodInfo
	node  string
}

func begin(t *testing.T, p *Plugin, pod *corev1.Pod, node string) cycle {
	t.Helper()
	c := cycle{p, framework.NewCycleState(), framework.NewPodInfo(pod), node}
	info := sample.Info(sample.Node(node))
	if s := p.PreFilter(c.state, c.pod, framework.NewSnapshot([]*framework.NodeInfo{info})); !s.OK() {
		t.Fatalf("PreFilter: %v", s.Reasons)
	}
	return c
}

func (c cycle) reserve() *framework.Status {
	return c.p.Reserve(context.Background(), c.state, c.pod, c.node)
}

// What is promised to one pod is not found for another, until the promise is taken back.
func TestPromises(t *testing.T) {
	p, _ := plugin(t, sample.Node("n1"), claim(t, "a", "storageClassName: x", ""), claim(t, "b", "storageClassName: x", ""),
		class("x", claims.NoProvisioner, true), on(t, "n1", "v", "2Gi", "x"))
	first, second := begin(t, p, user("a"), "n1"), begin(t, p, user("b"), "n1")
	if s := first.reserve(); !s.OK() {
		t.Fatalf("the first is refused: %v", s.Reasons)
	}
	if s := second.reserve(); s.OK() {
		t.Error("one volume was promised twice")
	}
	p.Unreserve(t.Context(), first.state, first.pod, "n1")
	if s := second.reserve(); !s.OK() {
		t.Errorf("the promise was not taken back: %v", s.Reasons)
	}
}

func edit[T api.Object](t *testing.T, server *clienttest.Server, ns, name string, change func(T)) {
	t.Helper()
	to := client.Of[T](server)
	obj, err := to.Get(t.Context(), ns, name)
	if err != nil {
		t.Fatal(err)
	}
	obj = obj.DeepCopyObject().(T)
	change(obj)
	if _, err := to.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// made is what a provisioner makes for claim a.
func made(t *testing.T, host string) *corev1.PersistentVolume {
	v := on(t, host, "made", "2Gi", "x")
	v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "d", Name: "a", UID: "a"}
	return v
}

// PreBind writes the choice, and waits for the binder.
func TestPreBindGivesTheVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, server := plugin(t, sample.Node("n1"), claim(t, "a", "storageClassName: x", ""), class("x", claims.NoProvisioner, true), on(t, "n1", "v", "2Gi", "x"))
		c := begin(t, p, user("a"), "n1")
		if s := c.reserve(); !s.OK() || !p.Slow(c.state, c.pod, "n1") {
			t.Fatalf("%v, slow %v", s, p.Slow(c.state, c.pod, "n1"))
		}
		done := make(chan *framework.Status)
		go func() { done <- p.PreBind(t.Context(), c.state, c.pod, "n1") }()
		synctest.Wait()
		v, err := client.Of[*corev1.PersistentVolume](server).Get(t.Context(), "", "v")
		if err != nil || v.Spec.ClaimRef == nil || v.Spec.ClaimRef.UID != "a" || v.Annotations[claims.BoundByController] == "" {
			t.Fatalf("the volume was not given to the claim: %v, %v", v.Spec.ClaimRef, err)
		}
		select {
		case s := <-done:
			t.Fatalf("did not wait for the binder: %v", s)
		default:
		}
		edit(t, server, "d", "a", func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName = "v"
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.BindCompleted, "yes")
		})
		if s := <-done; !s.OK() {
			t.Errorf("%v", s.Reasons)
		}
		if len(p.taken)+len(p.promises)+len(p.waiters) > 0 {
			t.Errorf("something is left: %v, %v, %v", p.taken, p.promises, p.waiters)
		}
	})
}

func TestPreBindHasVolumesProvisioned(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		then         func(t *testing.T, server *clienttest.Server)
		want         string // of the error; empty: none
	}{
		{"provisioned", "the volume came", func(t *testing.T, server *clienttest.Server) {
			if _, err := client.Of[*corev1.PersistentVolume](server).Create(t.Context(), made(t, "n1")); err != nil {
				t.Fatal(err)
			}
			edit(t, server, "d", "a", func(c *corev1.PersistentVolumeClaim) {
				c.Spec.VolumeName = "made"
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.BindCompleted, "yes")
			})
		}, ""},
		{"given back", "the provisioner cannot do it there", func(t *testing.T, server *clienttest.Server) {
			edit(t, server, "d", "a", func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, claims.SelectedNode) })
		}, `provisioning failed for PVC "a": the provisioner gave node "n1" back`},
		{"elsewhere", "the volume that came is on another node", func(t *testing.T, server *clienttest.Server) {
			if _, err := client.Of[*corev1.PersistentVolume](server).Create(t.Context(), made(t, "n2")); err != nil {
				t.Fatal(err)
			}
			edit(t, server, "d", "a", func(c *corev1.PersistentVolumeClaim) {
				c.Spec.VolumeName = "made"
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, claims.BindCompleted, "yes")
			})
		}, `persistentvolume "made": node affinity doesn't match node "n1"`},
		{"deleted", "the user has changed his mind", func(t *testing.T, server *clienttest.Server) {
			if err := client.Of[*corev1.PersistentVolumeClaim](server).Delete(t.Context(), "d", "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}, `persistentvolumeclaim "a" not found`},
		{"never", "patience has an end", func(*testing.T, *clienttest.Server) { time.Sleep(11 * time.Minute) }, "binding volumes: timed out waiting for a to be bound"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, server := plugin(t, sample.Node("n1"), claim(t, "a", "storageClassName: x", ""), class("x", "p", true))
				c := begin(t, p, user("a"), "n1")
				if s := c.reserve(); !s.OK() {
					t.Fatal(s.Reasons)
				}
				done := make(chan *framework.Status, 1)
				go func() { done <- p.PreBind(t.Context(), c.state, c.pod, "n1") }()
				synctest.Wait()
				now, err := client.Of[*corev1.PersistentVolumeClaim](server).Get(t.Context(), "d", "a")
				if err != nil || now.Annotations[claims.SelectedNode] != "n1" {
					t.Fatalf("the provisioner was not told: %v, %v", now.Annotations, err)
				}
				tc.then(t, server)
				got := ""
				if err := (<-done).Error(); err != nil {
					got = err.Error()
				}
				if got != tc.want {
					t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
				}
			})
		})
	}
}

func TestHelps(t *testing.T) {
	p, _ := plugin(t, claim(t, "a", "storageClassName: x", ""))
	pod := framework.NewPodInfo(user("a"))
	for _, tc := range []struct {
		name string
		new  api.Object
		want bool
	}{
		{"its claim", claim(t, "a", "storageClassName: x", ""), true},
		{"another claim", claim(t, "b", "storageClassName: x", ""), false},
		{"a volume of the class", on(t, "", "v", "1Gi", "x"), true},
		{"a volume of another class", on(t, "", "v", "1Gi", "y"), false},
		{"its class", class("x", "p", true), true},
		{"another class", class("y", "p", true), false},
		{"a node", sample.Node("n"), true},
		{"a pod", user(), false},
	} {
		if got := p.Helps(pod, framework.Event{New: tc.new}); got != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}
