package controllers

//lint:file-ignore SA1019 Endpoints are served, so they are tested.

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// lying is a transport whose watches may show objects otherwise than they are: what a cache
// that went wrong looks like. Reads and writes are honest.
type lying struct {
	client.Transport
	lie func(e *watch.Event)
}

func (l lying) Watch(ctx context.Context, req client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := l.Transport.Watch(ctx, req, opts)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		l.lie(&e)
		return e, true
	}), nil
}

// held is a controller of children, a lie by which it would get rid of all of them, and how it is asked to.
type held struct {
	name string
	make func(w *world)
	lie  func(obj api.Object) bool // changes obj, which is a copy, if it is about it
	poke func(w *world)            // has the lie told
	left func(w *world) int
	want int
	says string         // in an event; empty: nothing is said, since nothing of the view was believed
	end  func(w *world) // asks for the same in earnest
}

func touch[T api.Object](ns, name string) func(w *world) {
	return func(w *world) {
		edit(w, ns, name, func(obj T) { obj.SetAnnotations(map[string]string{"touched": time.Now().String()}) })
	}
}

// told fills in a lie about one object, which comes true in the end unless something else is to.
func told[T api.Object](ns, name string, change func(T), h held) held {
	h.lie = func(obj api.Object) bool {
		told, is := obj.(T)
		if is && told.GetName() == name {
			change(told)
		}
		return is
	}
	h.poke = touch[T](ns, name)
	if h.end == nil {
		h.end = func(w *world) { edit(w, ns, name, change) }
	}
	return h
}

func activePods(app string) func(w *world) int {
	return func(w *world) int {
		n := 0
		for _, p := range list[*corev1.Pod](w, "default", "app="+app) {
			if api.IsPodActive(p) {
				n++
			}
		}
		return n
	}
}

func templateOf(app string) corev1.PodTemplateSpec {
	t := template("v1")
	t.Labels = map[string]string{"app": app}
	return t
}

func selects(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func brakes() []held {
	none := ptr.To(int32(0))
	pods := func(w *world, app, node string) {
		for i := range 6 {
			p := &corev1.Pod{ObjectMeta: meta("default", fmt.Sprint(app, "-", i)), Spec: template("v1").Spec}
			p.Labels, p.Spec.NodeName = map[string]string{"app": app}, node
			create(w, p)
		}
	}
	listed := func(w *world) int {
		n := 0
		for _, s := range list[*discoveryv1.EndpointSlice](w, "default", discoveryv1.LabelServiceName+"=svc") {
			n += len(s.Endpoints)
		}
		for _, e := range list[*corev1.Endpoints](w, "default", "") {
			if e.Name == "svc" {
				for _, s := range e.Subsets {
					n += len(s.Addresses)
				}
			}
		}
		return n
	}
	return []held{
		told("default", "rs", func(rs *appsv1.ReplicaSet) { rs.Spec.Replicas = none }, held{
			name: "replicaset", want: 6, left: activePods("rs"), says: "6 of 6 pods",
			make: func(w *world) {
				create(w, &appsv1.ReplicaSet{ObjectMeta: meta("default", "rs"), Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To(int32(6)), Selector: selects("rs"), Template: templateOf("rs")}})
			},
		}),
		told("default", "dep", func(d *appsv1.Deployment) { d.Spec.Replicas = none }, held{
			name: "deployment", want: 6, left: activePods("dep"), says: "6 of 6 replicas",
			make: func(w *world) {
				create(w, &appsv1.Deployment{ObjectMeta: meta("default", "dep"), Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(6)), Selector: selects("dep"), Template: templateOf("dep")}})
			},
		}),
		told("default", "sts", func(s *appsv1.StatefulSet) { s.Spec.Replicas = none }, held{
			name: "statefulset", want: 6, left: activePods("sts"), says: "6 of 6 pods",
			make: func(w *world) {
				create(w, &appsv1.StatefulSet{ObjectMeta: meta("default", "sts"), Spec: appsv1.StatefulSetSpec{
					Replicas: ptr.To(int32(6)), Selector: selects("sts"), Template: templateOf("sts"), PodManagementPolicy: appsv1.ParallelPodManagement,
				}})
			},
		}),
		told("default", "ds", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.NodeSelector = map[string]string{"no": "node"} }, held{
			name: "daemonset", want: 6, left: activePods("ds"), says: "6 of 6 pods",
			make: func(w *world) {
				create(w, &appsv1.DaemonSet{ObjectMeta: meta("default", "ds"), Spec: appsv1.DaemonSetSpec{Selector: selects("ds"), Template: templateOf("ds")}})
			},
		}),
		told("default", "job", func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}, held{
			name: "job", want: 6, left: activePods("job"), says: "6 of 6 pods",
			make: func(w *world) {
				t := templateOf("job")
				t.Spec.RestartPolicy = corev1.RestartPolicyNever
				create(w, &batchv1.Job{ObjectMeta: meta("default", "job"), Spec: batchv1.JobSpec{Parallelism: ptr.To(int32(6)), Completions: ptr.To(int32(6)), Template: t}})
			},
			end: func(w *world) { edit(w, "default", "job", func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }) },
		}),
		told("default", "cron", func(c *batchv1.CronJob) { c.Spec.SuccessfulJobsHistoryLimit = none }, held{
			name: "cronjob", want: 6, says: "6 of 6 jobs",
			left: func(w *world) int { return len(list[*batchv1.Job](w, "default", "of=cron")) },
			make: func(w *world) {
				w.Machines.Ends = succeed
				c := create(w, newCronJob("cron", func(s *batchv1.CronJobSpec) { s.Suspend, s.SuccessfulJobsHistoryLimit = ptr.To(true), ptr.To(int32(6)) }))
				for i := range 6 {
					j := &batchv1.Job{ObjectMeta: meta("default", fmt.Sprint("cron-", i)), Spec: c.Spec.JobTemplate.Spec}
					j.Labels, j.Annotations = map[string]string{"of": "cron"}, map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
					j.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
					create(w, j)
				}
			},
		}),
		told("default", "svc", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "nobody"} }, held{
			name: "endpoints and endpointslice", want: 12, left: listed, says: "6 of 6 endpoints",
			make: func(w *world) {
				pods(w, "svc", "")
				create(w, &corev1.Service{ObjectMeta: meta("default", "svc"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "svc"}, Ports: []corev1.ServicePort{{Port: 80}}}})
			},
		}),
		told("default", "db", func(e *corev1.Endpoints) { e.Subsets = nil }, held{
			name: "endpointslicemirroring", want: 6, says: "6 of 6 addresses",
			left: func(w *world) int { return len(strings.Fields(w.mirrors("db"))) },
			make: func(w *world) {
				create(w, &corev1.Service{ObjectMeta: meta("default", "db"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
				create(w, handMade(80, 81, 82, 83, 84, 85))
			},
		}),
		told("", "node-1", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}
		}, held{
			name: "tainteviction", want: 6, left: activePods("taint"), says: "Held back the eviction",
			make: func(w *world) { pods(w, "taint", "node-1") },
		}),
		told("default", "a-0", func(m *corev1.ConfigMap) { m.OwnerReferences[0].UID = "nobody" }, held{
			name: "garbagecollector", want: 6, // who reads every owner live has nothing to take back
			left: func(w *world) int { return len(list[*corev1.ConfigMap](w, "default", "family=a")) },
			make: func(w *world) {
				owner := create(w, &corev1.ConfigMap{ObjectMeta: meta("default", "owner")})
				for i := range 6 {
					m := &corev1.ConfigMap{ObjectMeta: meta("default", fmt.Sprint("a-", i))}
					m.Labels = map[string]string{"family": "a"}
					m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}}
					create(w, m)
				}
			},
			end: func(w *world) { remove[*corev1.ConfigMap](w, "default", "owner", metav1.DeletePropagationBackground) },
		}),
		told("", "full", func(n *corev1.Namespace) { n.DeletionTimestamp = ptr.To(metav1.Now()) }, held{
			name: "namespace", want: 6, // likewise
			left: func(w *world) int { return len(list[*corev1.Secret](w, "full", "")) },
			make: func(w *world) {
				create(w, &corev1.Namespace{ObjectMeta: meta("", "full")})
				for i := range 6 {
					create(w, &corev1.Secret{ObjectMeta: meta("full", fmt.Sprint("s-", i))})
				}
			},
			end: func(w *world) { remove[*corev1.Namespace](w, "", "full", metav1.DeletePropagationBackground) },
		}),
		told("", "node-1", func(n *corev1.Node) { n.Name = "another" }, held{
			name: "podgc", want: 6, left: activePods("gc"), // likewise
			make: func(w *world) { pods(w, "gc", "node-1") },
			end: func(w *world) {
				w.Machines.Kill("node-1", true)
				remove[*corev1.Node](w, "", "node-1", metav1.DeletePropagationBackground)
			},
		}),
	}
}

// A cache that says that nothing is wanted any more costs nobody all of what it has: whoever deletes
// children asks once more, says so, and goes on when it is so.
func TestBrakeOnMassDeletion(t *testing.T) {
	for _, h := range brakes() {
		t.Run(h.name, func(t *testing.T) {
			var lies atomic.Bool
			lie := func(e *watch.Event) {
				obj, ok := e.Object.(api.Object)
				if !ok || !lies.Load() || e.Type == watch.Bookmark {
					return
				}
				if copied := obj.DeepCopyObject().(api.Object); h.lie(copied) {
					e.Object = copied
				}
			}
			inWorld(t, 6, func(tr client.Transport) client.Transport { return lying{tr, lie} }, func(w *world) {
				h.make(w)
				w.Tick(20 * time.Second)
				if got := h.left(w); got != h.want {
					t.Fatalf("there are %d at first, want %d", got, h.want)
				}
				lies.Store(true)
				h.poke(w)
				w.Tick(50 * time.Second)
				if got := h.left(w); got != h.want {
					t.Errorf("%d are left of %d, on the word of a cache", got, h.want)
				}
				if said := strings.Join(w.Events("DeletionHeldBack"), "\n"); !strings.Contains(said, h.says) || h.says == "" && said != "" {
					t.Errorf("events tell %q, want %q", said, h.says)
				}
				lies.Store(false)
				h.poke(w) // which mends the cache
				w.Tick(time.Second)
				h.end(w)
				w.Tick(2 * time.Minute)
				if got := h.left(w); got != 0 {
					t.Errorf("%d are left, and none is wanted: the brake holds what was asked for", got)
				}
			})
		})
	}
}
