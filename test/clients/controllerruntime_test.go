package clients

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// mirror is an operator as people write them: for every ConfigMap with the label it keeps a Secret
// of the same name and content, and cleans up behind a finalizer.
type mirror struct{ client.Client }

const finalizer = "example.com/mirror"

func (m *mirror) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var source corev1.ConfigMap
	if err := m.Get(ctx, req.NamespacedName, &source); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if source.Labels["mirror"] != "yes" {
		return ctrl.Result{}, nil
	}
	if !source.DeletionTimestamp.IsZero() {
		copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: req.Name, Namespace: req.Namespace}}
		if err := client.IgnoreNotFound(m.Delete(ctx, copied)); err != nil {
			return ctrl.Result{}, err
		}
		if controllerutil.RemoveFinalizer(&source, finalizer) {
			return ctrl.Result{}, m.Update(ctx, &source)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(&source, finalizer) {
		if err := m.Update(ctx, &source); err != nil {
			return ctrl.Result{}, err
		}
	}
	copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: req.Name, Namespace: req.Namespace}}
	_, err := controllerutil.CreateOrUpdate(ctx, m.Client, copied, func() error {
		copied.StringData = source.Data
		return controllerutil.SetControllerReference(&source, copied, m.Scheme())
	})
	return ctrl.Result{}, err
}

// TestControllerRuntime: a manager with leader election, caches and a reconciler does its work,
// and the next one takes over when it ends.
func TestControllerRuntime(t *testing.T) {
	c := startCluster(t)
	ctrl.SetLogger(logr.Discard())
	first, stopFirst := c.operator(t, "first")
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", Labels: map[string]string{"mirror": "yes"}}, Data: map[string]string{"k": "1"}}
	check(t, first.GetClient().Create(t.Context(), cm))
	c.mirrored(t, "a", "1")

	if stopped := c.leader(t); stopped == "" {
		t.Error("nobody holds the lease")
	}
	before := c.leader(t)
	second, stopSecond := c.operator(t, "second")
	stopFirst()
	patch := client.MergeFrom(cm.DeepCopy())
	cm.Data["k"] = "2"
	check(t, second.GetClient().Patch(t.Context(), cm, patch))
	c.mirrored(t, "a", "2")
	if after := c.leader(t); after == before {
		t.Errorf("%q still holds the lease", after)
	}

	// Repair: what somebody destroys comes back, as the Secret is watched by its owner.
	check(t, second.GetClient().Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"}}))
	c.mirrored(t, "a", "2")
	check(t, second.GetClient().Delete(t.Context(), cm))
	eventually(t, "the ConfigMap and its mirror are gone", func() bool {
		_, err := c.set.CoreV1().ConfigMaps("default").Get(t.Context(), "a", metav1.GetOptions{})
		_, mirrorErr := c.set.CoreV1().Secrets("default").Get(t.Context(), "a", metav1.GetOptions{})
		return apierrors.IsNotFound(err) && apierrors.IsNotFound(mirrorErr)
	})
	stopSecond()
}

// operator starts a manager; the second result ends it and waits for its end.
func (c *cluster) operator(t *testing.T, name string) (ctrl.Manager, func()) {
	t.Helper()
	mgr, err := ctrl.NewManager(c.config, ctrl.Options{
		Metrics: server.Options{BindAddress: "0"}, LeaderElection: true, LeaderElectionID: "mirror.example.com", LeaderElectionNamespace: "default",
		LeaderElectionReleaseOnCancel: true,
	})
	check(t, err)
	m := &mirror{mgr.GetClient()}
	options := ctrl.NewControllerManagedBy(mgr).Named("mirror").For(&corev1.ConfigMap{}).Owns(&corev1.Secret{})
	options.WithOptions(controller.Options{SkipNameValidation: ptr.To(true)})
	check(t, options.Complete(m))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop := func() {
		if cancel(); ctx.Err() != nil && ended != nil {
			if err := <-ended; err != nil {
				t.Errorf("manager %s ended with: %v", name, err)
			}
			ended = nil
		}
	}
	t.Cleanup(stop)
	return mgr, stop
}

func (c *cluster) mirrored(t *testing.T, name, value string) {
	t.Helper()
	eventually(t, "secret "+name+" has "+value, func() bool {
		s, err := c.set.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && string(s.Data["k"]) == value
	})
}

func (c *cluster) leader(t *testing.T) string {
	t.Helper()
	lease, err := c.set.CoordinationV1().Leases("default").Get(t.Context(), "mirror.example.com", metav1.GetOptions{})
	check(t, err)
	if holder := (*coordinationv1.Lease)(lease).Spec.HolderIdentity; holder != nil {
		return *holder
	}
	return ""
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
