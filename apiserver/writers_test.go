package apiserver_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage"
)

// writers is how many clients write at once, in the tests below: half of them to one server, half
// to another over the same store.
const writers = 64

// crowd is what the writers share.
type crowd struct {
	*testing.T
	store storage.Store
	sets  [2]*kubernetes.Clientset

	mu        sync.Mutex
	revisions map[string]string // guarded by mu; of every answer to a write, and whose it was
}

// inCrowds runs a test with two servers over each kind of store.
func inCrowds(t *testing.T, test func(c *crowd)) {
	onBothStores(t, func(t *testing.T, store storage.Store) {
		few := func(cfg *apiserver.Config) {
			cfg.ServiceCIDR = netip.MustParsePrefix("10.7.0.0/24")
			cfg.RequestTimeout = 10 * time.Minute // a race detector makes everything slow
		}
		one := startOver(t, store, few)
		other := startWith(t, store, one.security, few)
		one.account("default")
		test(&crowd{T: t, store: store, revisions: map[string]string{},
			sets: [2]*kubernetes.Clientset{one.admin(runtime.ContentTypeJSON), other.admin(runtime.ContentTypeProtobuf)}})
	})
}

// all runs do for every writer at once and waits for all.
func (c *crowd) all(do func(n int, set *kubernetes.Clientset)) {
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() { do(n, c.sets[n%2]) })
	}
	wg.Wait()
}

// wrote notes the resourceVersion that a write was answered with: no two may have the same.
func (c *crowd) wrote(who string, obj metav1.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rv := obj.GetResourceVersion()
	if other := c.revisions[rv]; other != "" {
		c.Errorf("%s and %s were both answered with resourceVersion %s", other, who, rv)
	}
	c.revisions[rv] = who
}

// checkWatch reads a watch until it has told of every write that was noted, each once, in the order
// of their resourceVersions.
func (c *crowd) checkWatch(w watch.Interface) {
	c.Helper()
	last, left := int64(0), len(c.revisions)
	for e := range w.ResultChan() {
		obj, ok := e.Object.(metav1.Object)
		if !ok {
			c.Fatalf("the watch said %+v", e)
		}
		rv, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
		if err != nil || rv <= last {
			c.Fatalf("%s of resourceVersion %q after %d", e.Type, obj.GetResourceVersion(), last)
		}
		last = rv
		if c.revisions[obj.GetResourceVersion()] != "" {
			left--
		}
		if left == 0 {
			w.Stop()
			return
		}
	}
	c.Errorf("the watch ended with %d writes still to tell", left)
}

// TestWritersOfServices: no cluster IP and no node port belongs to two Services, named or chosen, while
// Services come, change and go; and what is taken is exactly what they have.
func TestWritersOfServices(t *testing.T) {
	inCrowds(t, func(c *crowd) {
		c.all(func(n int, set *kubernetes.Clientset) {
			services := set.CoreV1().Services("default")
			for i := range 3 {
				svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d-%d", n, i)},
					Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}}}
				if i == 1 { // one of a few that the others want too
					svc.Spec.ClusterIP, svc.Spec.Ports[0].NodePort = fmt.Sprintf("10.7.0.%d", 10+n%8), int32(30000+n%8)
				}
				made, err := services.Create(t.Context(), svc, metav1.CreateOptions{})
				if i == 1 && apierrors.IsInvalid(err) && strings.Contains(err.Error(), "already allocated") {
					continue
				}
				if err != nil {
					c.Errorf("creating %s: %v", svc.Name, err)
					return
				}
				c.wrote(svc.Name, made)
				switch i {
				case 0: // gives its port back and takes another
					for _, kind := range []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort} {
						patch := fmt.Sprintf(`{"spec":{"type":%q}}`, kind)
						changed, err := services.Patch(t.Context(), svc.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
						if err != nil {
							c.Errorf("making %s a %s: %v", svc.Name, kind, err)
							return
						}
						c.wrote(svc.Name, changed)
					}
				case 1:
					if err := c.sets[(n+1)%2].CoreV1().Services("default").Delete(t.Context(), svc.Name, metav1.DeleteOptions{}); err != nil {
						c.Errorf("deleting %s: %v", svc.Name, err)
					}
				}
			}
		})
		for _, set := range c.sets {
			c.checkAddresses(set)
			c.checkWatch(must(set.CoreV1().Services("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: c.first()}))(t))
		}
	})
}

// checkAddresses compares what Services have with what is taken.
func (c *crowd) checkAddresses(set *kubernetes.Clientset) {
	list := must(set.CoreV1().Services("").List(c.Context(), metav1.ListOptions{}))(c)
	ips, ports := map[string]string{}, map[int32]string{}
	for _, svc := range list.Items {
		if other := ips[svc.Spec.ClusterIP]; other != "" || svc.Spec.ClusterIP == "" {
			c.Errorf("cluster IP %q belongs to %q and %q", svc.Spec.ClusterIP, other, svc.Name)
		}
		ips[svc.Spec.ClusterIP] = svc.Name
		for _, port := range svc.Spec.Ports {
			if svc.Spec.Type != corev1.ServiceTypeNodePort {
				continue
			}
			if other := ports[port.NodePort]; other != "" || port.NodePort == 0 {
				c.Errorf("node port %d belongs to %q and %q", port.NodePort, other, svc.Name)
			}
			ports[port.NodePort] = svc.Name
		}
	}
	taken := must(set.NetworkingV1().IPAddresses().List(c.Context(), metav1.ListOptions{}))(c)
	for _, ip := range taken.Items {
		if ref := ip.Spec.ParentRef; ref == nil || ips[ip.Name] != ref.Name {
			c.Errorf("%s is taken for %+v, and %q has it", ip.Name, ref, ips[ip.Name])
		}
	}
	keys, _, err := c.store.List(c.Context(), "/registry/ranges/servicenodeports/", 0)
	if err != nil || len(keys) != len(ports) || len(taken.Items) != len(ips) || len(ports) != 2*writers {
		c.Errorf("%d Services have %d IPs and %d ports; %d and %d are taken (%v)", len(list.Items), len(ips), len(ports), len(taken.Items), len(keys), err)
	}
}

// TestWritersWhoApply: everybody's fields are there in the end, and are known to be theirs.
func TestWritersWhoApply(t *testing.T) {
	const rounds = 2
	inCrowds(t, func(c *crowd) {
		c.all(func(n int, set *kubernetes.Clientset) {
			for i := range rounds {
				wish := applycorev1.ConfigMap("shared", "default").WithData(map[string]string{fmt.Sprint("key", n): fmt.Sprint(i)})
				if i == 0 { // a field that is given up again
					wish.WithData(map[string]string{fmt.Sprint("once", n): "x"})
				}
				got, err := set.CoreV1().ConfigMaps("default").Apply(t.Context(), wish, metav1.ApplyOptions{FieldManager: fmt.Sprint("m", n)})
				again := apierrors.IsInternalError(err)
				for try := 0; apierrors.IsInternalError(err) && try < 20; try++ { // etcd has too much to do, and may have done it
					_, err = set.CoreV1().ConfigMaps("default").Apply(t.Context(), wish, metav1.ApplyOptions{FieldManager: fmt.Sprint("m", n)})
				}
				if err != nil {
					c.Errorf("writer %d: %v", n, err)
					return
				}
				if again { // what has been done already is answered with the version of whoever wrote last
					continue
				}
				c.wrote(fmt.Sprint("writer ", n), got)
			}
		})
		got := must(c.sets[0].CoreV1().ConfigMaps("default").Get(t.Context(), "shared", metav1.GetOptions{}))(t)
		owned := map[string]string{}
		for _, entry := range got.ManagedFields {
			owned[entry.Manager] = string(entry.FieldsV1.GetRawBytes())
		}
		for n := range writers {
			if key := fmt.Sprint("key", n); got.Data[key] != fmt.Sprint(rounds-1) || owned[fmt.Sprint("m", n)] != fmt.Sprintf(`{"f:data":{"f:%s":{}}}`, key) {
				t.Errorf("writer %d: %q, its fields are %s", n, got.Data[key], owned[fmt.Sprint("m", n)])
			}
		}
		if len(got.Data) != writers || len(got.ManagedFields) != writers {
			t.Errorf("%d fields of %d owners, want %d", len(got.Data), len(got.ManagedFields), writers)
		}
		w := must(c.sets[1].CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: c.first(), FieldSelector: "metadata.name=shared"}))(t)
		c.checkWatch(w)
	})
}

// first is the resourceVersion before the first write that was noted.
func (c *crowd) first() string {
	least := int64(1 << 62)
	for text := range c.revisions {
		if rv, err := strconv.ParseInt(text, 10, 64); err == nil {
			least = min(least, rv)
		}
	}
	return strconv.FormatInt(least-1, 10)
}

// TestWritersWhoBind: a pod is bound once, to whom was told so.
func TestWritersWhoBind(t *testing.T) {
	const pods = 12
	inCrowds(t, func(c *crowd) {
		for i := range pods {
			must(c.sets[0].CoreV1().Pods("default").Create(t.Context(), pod(fmt.Sprint("p", i)), metav1.CreateOptions{}))(t)
		}
		var mu sync.Mutex
		winners := map[string]string{}
		c.all(func(n int, set *kubernetes.Clientset) {
			for i := range pods {
				name, node := fmt.Sprint("p", (n+i)%pods), fmt.Sprint("node-", n)
				binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
				err := set.CoreV1().Pods("default").Bind(t.Context(), binding, metav1.CreateOptions{})
				if apierrors.IsConflict(err) {
					continue
				}
				if err != nil {
					c.Errorf("binding %s to %s: %v", name, node, err)
					return
				}
				mu.Lock()
				if other := winners[name]; other != "" {
					c.Errorf("%s was bound to %s and to %s", name, other, node)
				}
				winners[name] = node
				mu.Unlock()
			}
		})
		for i := range pods {
			got := must(c.sets[i%2].CoreV1().Pods("default").Get(t.Context(), fmt.Sprint("p", i), metav1.GetOptions{}))(t)
			if got.Spec.NodeName == "" || got.Spec.NodeName != winners[got.Name] {
				t.Errorf("%s is on %q, %q was told so", got.Name, got.Spec.NodeName, winners[got.Name])
			}
		}
	})
}

// TestWritersOfStatus: who reads, changes and writes a status, and starts again after a conflict, loses
// nobody's change; nor do those who patch the object meanwhile.
func TestWritersOfStatus(t *testing.T) {
	const rounds = 2
	inCrowds(t, func(c *crowd) {
		labels := map[string]string{"app": "x"}
		made := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("p").Spec}}}
		must(c.sets[0].AppsV1().Deployments("default").Create(t.Context(), made, metav1.CreateOptions{}))(t)
		c.all(func(n int, set *kubernetes.Clientset) {
			deployments := set.AppsV1().Deployments("default")
			for range rounds {
				if n%4 > 0 {
					patch := fmt.Sprintf(`{"metadata":{"annotations":{"writer-%d":"was here"}}}`, n)
					if _, err := deployments.Patch(t.Context(), "d", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
						c.Errorf("writer %d: %v", n, err)
					}
					continue
				}
				for {
					d, err := deployments.Get(t.Context(), "d", metav1.GetOptions{})
					if err != nil {
						c.Errorf("writer %d: %v", n, err)
						return
					}
					d.Status.ObservedGeneration++
					got, err := deployments.UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
					if err == nil {
						c.wrote(fmt.Sprint("writer ", n), got)
						break
					}
					if !apierrors.IsConflict(err) {
						c.Errorf("writer %d: %v", n, err)
						return
					}
				}
			}
		})
		for _, set := range c.sets {
			got := must(set.AppsV1().Deployments("default").Get(t.Context(), "d", metav1.GetOptions{}))(t)
			if got.Status.ObservedGeneration != writers/4*rounds {
				t.Errorf("%d changes of the status are there, want %d", got.Status.ObservedGeneration, writers/4*rounds)
			}
			if len(got.Annotations) != writers*3/4 {
				t.Errorf("%d annotations are there, want %d", len(got.Annotations), writers*3/4)
			}
		}
		w := must(c.sets[0].AppsV1().Deployments("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: c.first()}))(t)
		c.checkWatch(w)
	})
}
