package garbagecollector

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// coordinate is where a reference says that an owner is.
type coordinate struct {
	kind            schema.GroupKind
	namespace, name string
	uid             types.UID
}

// maxAbsent bounds how many absences are remembered; then all are forgotten.
const maxAbsent = 10000

// owners finds out about owners that the graph does not know, by live and consistent
// reads. What is absent once stays so: UIDs are never given twice.
type owners struct {
	transport client.Transport
	graph     *graph
	cfg       control.Config

	mu     sync.Mutex
	kinds  map[schema.GroupKind]api.Resource // guarded by mu
	absent map[coordinate]bool               // guarded by mu
}

// serve notes which kinds are served.
func (o *owners) serve(resources []api.Resource) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kinds = make(map[schema.GroupKind]api.Resource, len(resources))
	for _, r := range resources {
		o.kinds[r.GVK().GroupKind()] = r
	}
}

func (o *owners) resource(kind schema.GroupKind) (api.Resource, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.kinds[kind]
	return r, ok
}

// resolve fills in the states that the graph left unknown.
func (o *owners) resolve(ctx context.Context, it item) (item, error) {
	it.Owners = slices.Clone(it.Owners)
	for i := range it.Owners {
		if it.Owners[i].State != unknown {
			continue
		}
		s, err := o.look(ctx, it, it.Owners[i].Ref)
		if err != nil {
			return it, fmt.Errorf("reading owner %s %q: %w", it.Owners[i].Ref.Kind, it.Owners[i].Ref.Name, err)
		}
		it.Owners[i].State = s
	}
	return it, nil
}

// look reads one owner where the reference says that it is: in the dependent's namespace,
// or in none. An owner that is elsewhere is none.
func (o *owners) look(ctx context.Context, it item, ref metav1.OwnerReference) (state, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return unreachable, nil // the API server refuses such references
	}
	r, ok := o.resource(schema.GroupKind{Group: gv.Group, Kind: ref.Kind})
	if !ok {
		return unreachable, nil
	}
	at := coordinate{r.GVK().GroupKind(), "", ref.Name, ref.UID}
	if r.Namespaced {
		if !it.Resource.Namespaced {
			o.complain(it, "ownerRef %s refers to a namespaced kind, which no cluster-scoped object can have as its owner", describe(ref))
			return unreachable, nil
		}
		at.namespace = it.Namespace
	}
	if o.isAbsent(at) {
		return absent, nil
	}
	obj, err := client.Dynamic(o.transport, r).Get(ctx, at.namespace, at.name)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return unknown, err
	case err != nil || obj.GetUID() != ref.UID:
		if ns, ok := o.graph.namespaceOf(ref.UID); ok && r.Namespaced && ns != it.Namespace {
			o.complain(it, "ownerRef %s does not exist in namespace %q", describe(ref), it.Namespace)
		}
		o.remember(at)
		return absent, nil
	case obj.GetDeletionTimestamp() != nil && slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents):
		return waiting, nil
	}
	return solid, nil
}

func (o *owners) isAbsent(at coordinate) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.absent[at]
}

func (o *owners) remember(at coordinate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.absent) >= maxAbsent || o.absent == nil {
		o.absent = map[coordinate]bool{}
	}
	o.absent[at] = true
}

// complain tells users of a reference that cannot work.
func (o *owners) complain(it item, format string, args ...any) {
	o.cfg.Recorder.EventAbout(corev1.ObjectReference{
		APIVersion: it.Resource.GroupVersion().String(), Kind: it.Resource.Kind, Namespace: it.Namespace, Name: it.Name, UID: it.UID,
	}, corev1.EventTypeWarning, "OwnerRefInvalidNamespace", format, args...)
}

func describe(ref metav1.OwnerReference) string {
	return fmt.Sprintf("[%s/%s, name: %s, uid: %s]", ref.APIVersion, ref.Kind, ref.Name, ref.UID)
}
