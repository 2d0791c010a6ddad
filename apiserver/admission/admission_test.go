package admission_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
)

// cluster is a Reader over a few objects.
type cluster []api.Object

func (c cluster) Get(_ context.Context, gvr schema.GroupVersionResource, ns, name string) (api.Object, error) {
	for _, obj := range c {
		r, _ := api.ResourceOf(obj)
		if r.GVR() == gvr && obj.GetNamespace() == ns && obj.GetName() == name {
			return obj, nil
		}
	}
	return nil, apierrors.NewNotFound(gvr.GroupResource(), name)
}

type broken struct{}

func (broken) Get(context.Context, schema.GroupVersionResource, string, string) (api.Object, error) {
	return nil, errors.New("no answer")
}

func ptr[T any](v T) *T { return &v }

func create(obj api.Object) *admission.Request {
	r, ok := api.ResourceOf(obj)
	if !ok {
		panic("not in the roster")
	}
	return &admission.Request{Operation: admission.Create, Resource: r, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj, User: auth.Admin()}
}

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}, Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "c"}},
	}}
	for _, f := range change {
		f(p)
	}
	return p
}

func account(change ...func(*corev1.ServiceAccount)) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "ns"}}
	for _, f := range change {
		f(sa)
	}
	return sa
}

func serviceAccount(c cluster) admission.ServiceAccount {
	return admission.ServiceAccount{Read: c, Random: func() uint64 { return 12345678901234 }}
}

func TestServiceAccountMountsItsToken(t *testing.T) {
	own := corev1.VolumeMount{Name: "own", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}
	for _, tc := range []struct {
		name    string
		account *corev1.ServiceAccount
		pod     *corev1.Pod
		mounts  int
		volumes int
	}{
		{"every container", account(), pod(), 2, 1},
		{"the pod says no", account(), pod(func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = ptr(false) }), 0, 0},
		{"the account says no", account(func(sa *corev1.ServiceAccount) { sa.AutomountServiceAccountToken = ptr(false) }), pod(), 0, 0},
		{"the pod overrules the account", account(func(sa *corev1.ServiceAccount) { sa.AutomountServiceAccountToken = ptr(false) }),
			pod(func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = ptr(true) }), 2, 1},
		{"one container has its own", account(), pod(func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{own} }), 1, 1},
		{"all have their own", account(), pod(func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts, p.Spec.InitContainers[0].VolumeMounts = []corev1.VolumeMount{own}, []corev1.VolumeMount{own}
		}), 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := serviceAccount(cluster{tc.account}).Admit(t.Context(), create(tc.pod)); err != nil {
				t.Fatal(err)
			}
			mounts := 0
			for _, c := range append(tc.pod.Spec.InitContainers, tc.pod.Spec.Containers...) {
				for _, m := range c.VolumeMounts {
					if regexp.MustCompile(`^kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}$`).MatchString(m.Name) && m.ReadOnly {
						mounts++
					}
				}
			}
			if mounts != tc.mounts || len(tc.pod.Spec.Volumes) != tc.volumes {
				t.Errorf("%d mounts, %d volumes; want %d, %d", mounts, len(tc.pod.Spec.Volumes), tc.mounts, tc.volumes)
			}
			if tc.pod.Spec.ServiceAccountName != "default" || tc.pod.Spec.DeprecatedServiceAccount != "default" {
				t.Errorf("account = %q, %q", tc.pod.Spec.ServiceAccountName, tc.pod.Spec.DeprecatedServiceAccount)
			}
			if tc.volumes == 1 && len(tc.pod.Spec.Volumes[0].Projected.Sources) != 3 {
				t.Errorf("volume = %+v", tc.pod.Spec.Volumes[0])
			}
		})
	}
}

func TestServiceAccountPullSecrets(t *testing.T) {
	secrets := []corev1.LocalObjectReference{{Name: "s"}}
	plugin := serviceAccount(cluster{account(func(sa *corev1.ServiceAccount) { sa.ImagePullSecrets = secrets })})
	p := pod()
	if err := plugin.Admit(t.Context(), create(p)); err != nil || len(p.Spec.ImagePullSecrets) != 1 {
		t.Errorf("secrets = %v, %v", p.Spec.ImagePullSecrets, err)
	}
	p = pod(func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "a"}, {Name: "b"}} })
	if err := plugin.Admit(t.Context(), create(p)); err != nil || len(p.Spec.ImagePullSecrets) != 2 {
		t.Errorf("secrets = %v, %v", p.Spec.ImagePullSecrets, err)
	}
}

func TestServiceAccountMustExist(t *testing.T) {
	err := serviceAccount(nil).Admit(t.Context(), create(pod()))
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `error looking up service account ns/default: serviceaccounts "default" not found`) {
		t.Errorf("error = %v", err)
	}
	mirror := pod(func(p *corev1.Pod) { p.Annotations = map[string]string{"kubernetes.io/config.mirror": "x"} })
	if err := serviceAccount(nil).Admit(t.Context(), create(mirror)); err != nil {
		t.Errorf("a mirror pod needs none: %v", err)
	}
	chain := admission.Chain{admission.ServiceAccount{Read: broken{}, Random: func() uint64 { return 0 }}}
	if err := chain.Admit(t.Context(), create(pod())); !apierrors.IsInternalError(err) {
		t.Errorf("error = %v, want an internal error", err)
	}
}

func TestDefaultTolerationSeconds(t *testing.T) {
	for _, tc := range []struct {
		name string
		has  []corev1.Toleration
		want int
	}{
		{"none", nil, 2},
		{"one of the two", []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr(int64(1))}}, 2},
		{"everything", []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, 1},
		{"the same taint without eviction", []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) { p.Spec.Tolerations = tc.has })
			for range 2 { // a second time changes nothing
				if err := (admission.DefaultTolerationSeconds{}).Admit(t.Context(), create(p)); err != nil {
					t.Fatal(err)
				}
				if len(p.Spec.Tolerations) != tc.want {
					t.Errorf("tolerations = %v, want %d", p.Spec.Tolerations, tc.want)
				}
			}
		})
	}
}

func TestNamespaceLifecycle(t *testing.T) {
	going := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}
	here := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}
	plugin := admission.NamespaceLifecycle{Read: cluster{going, here}}
	in := func(ns string) *admission.Request { return create(pod(func(p *corev1.Pod) { p.Namespace = ns })) }
	if err := plugin.Admit(t.Context(), in("ns")); err != nil {
		t.Error(err)
	}
	if err := plugin.Admit(t.Context(), in("none")); !apierrors.IsNotFound(err) {
		t.Errorf("absent namespace: %v", err)
	}
	if err := plugin.Admit(t.Context(), in("going")); !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || !apierrors.IsForbidden(err) {
		t.Errorf("terminating namespace: %v", err)
	}
	update := in("going")
	update.Operation = admission.Update
	if err := plugin.Admit(t.Context(), update); err != nil {
		t.Errorf("an update in a terminating namespace: %v", err)
	}
	for name, bad := range map[string]bool{"default": true, "kube-system": true, "kube-public": true, "ns": false} {
		err := plugin.Admit(t.Context(), &admission.Request{Operation: admission.Delete, Resource: api.ResourceFor[*corev1.Namespace](), Name: name})
		if apierrors.IsForbidden(err) != bad {
			t.Errorf("deleting %s: %v", name, err)
		}
	}
}

func labelled(node *corev1.Node, key string) *corev1.Node {
	node.Labels = map[string]string{key: "x"}
	return node
}

func TestNodeRestriction(t *testing.T) {
	mine := pod(func(p *corev1.Pod) { p.Spec.NodeName, p.UID, p.Spec.ServiceAccountName = "n1", "u1", "sa" })
	other := pod(func(p *corev1.Pod) { p.Name, p.Spec.NodeName, p.UID, p.Spec.ServiceAccountName = "q", "n2", "u2", "sa" })
	relabelled := mine.DeepCopy()
	relabelled.Labels = map[string]string{"app": "bank"}
	owned := func(n *corev1.Node) *corev1.Node {
		n.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "none", UID: "none"}}
		return n
	}
	plugin := admission.NodeRestriction{Read: cluster{mine, other}}
	node := func(name string, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
	}
	csiNode := func(name string) *storagev1.CSINode {
		return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	lease := func(ns, name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}}
	}
	as := func(op admission.Operation, obj, old api.Object, subresource string) *admission.Request {
		subject := obj
		if obj == nil {
			subject = old
		}
		r := create(subject)
		r.Operation, r.Old, r.Subresource = op, old, subresource
		if obj == nil {
			r.Object = nil
		}
		return r
	}
	token := func(change func(*authenticationv1.BoundObjectReference)) *admission.Request {
		ref := &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: "u1"}
		change(ref)
		return &admission.Request{Operation: admission.Create, Resource: api.ResourceFor[*corev1.ServiceAccount](), Subresource: "token",
			Namespace: "ns", Name: "sa", Object: &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: ref}}}
	}
	for _, tc := range []struct {
		name    string
		request *admission.Request
		allowed bool
	}{
		{"make its own Node", create(node("n1")), true},
		{"make another Node", create(node("n2")), false},
		{"report on its Node", as(admission.Update, node("n1"), node("n1"), "status"), true},
		{"report on another Node", as(admission.Update, node("n2"), node("n2"), "status"), false},
		{"label itself", as(admission.Update, labelled(node("n1"), "zone"), node("n1"), ""), true},
		{"label itself as trusted", as(admission.Update, labelled(node("n1"), "node-restriction.kubernetes.io/exam"), node("n1"), ""), false},
		{"come labelled as trusted", create(labelled(node("n1"), "node-restriction.kubernetes.io/exam")), false},
		{"drop a label of trust", as(admission.Update, node("n1"), labelled(node("n1"), "node-restriction.kubernetes.io/untrusted"), "status"), false},
		{"say what it is", as(admission.Update, labelled(node("n1"), "node.kubernetes.io/instance-type"), node("n1"), ""), true},
		{"say its name", create(labelled(node("n1"), "kubernetes.io/hostname")), true},
		{"call itself a control plane", as(admission.Update, labelled(node("n1"), "node-role.kubernetes.io/control-plane"), node("n1"), "status"), false},
		{"hide a label of trust in a longer domain", create(labelled(node("n1"), "x.node-restriction.kubernetes.io/exam")), false},
		{"be owned, to be deleted", as(admission.Update, owned(node("n1")), node("n1"), ""), false},
		{"taint itself", as(admission.Update, node("n1", corev1.Taint{Key: "k"}), node("n1"), ""), false},
		{"delete its Node", as(admission.Delete, nil, node("n1"), ""), false},
		{"renew its Lease", as(admission.Update, lease("kube-node-lease", "n1"), lease("kube-node-lease", "n1"), ""), true},
		{"renew another Lease", as(admission.Update, lease("kube-node-lease", "n2"), lease("kube-node-lease", "n2"), ""), false},
		{"take a leader's Lease", create(lease("kube-system", "n1")), false},
		{"name its drivers", create(csiNode("n1")), true},
		{"name another's drivers", create(csiNode("n2")), false},
		{"report on its pod", as(admission.Update, mine, mine, "status"), true},
		{"label its pod by its status", as(admission.Update, relabelled, mine, "status"), false},
		{"report on another's pod", as(admission.Update, other, other, "status"), false},
		{"change its pod's spec", as(admission.Update, mine, mine, ""), false},
		{"delete its pod", as(admission.Delete, nil, mine, ""), true},
		{"delete another's pod", as(admission.Delete, nil, other, ""), false},
		{"make a pod", create(mine), false},
		{"bind a pod", as(admission.Create, mine, nil, "binding"), false},
		{"read no secret by writing one", create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}}), false},
		{"tell events", create(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns"}}), true},
		{"get its pod's token", token(func(*authenticationv1.BoundObjectReference) {}), true},
		{"get a token for another's pod", token(func(r *authenticationv1.BoundObjectReference) { r.Name, r.UID = "q", "u2" }), false},
		{"get a token for a pod that was replaced", token(func(r *authenticationv1.BoundObjectReference) { r.UID = "u0" }), false},
		{"get a token bound to a Secret", token(func(r *authenticationv1.BoundObjectReference) { r.Kind = "Secret" }), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.request.User = auth.User{Name: "system:node:n1", Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}
			if err := plugin.Validate(t.Context(), tc.request); (err == nil) != tc.allowed || err != nil && !apierrors.IsForbidden(err) {
				t.Errorf("error = %v, want allowed %v", err, tc.allowed)
			}
			tc.request.User = auth.Component(auth.UserControllerManager)
			if err := plugin.Validate(t.Context(), tc.request); err != nil {
				t.Errorf("the rule hit somebody who is no node: %v", err)
			}
			tc.request.User = auth.User{Name: "nobody", Groups: []string{auth.GroupNodes}}
			if err := plugin.Validate(t.Context(), tc.request); !apierrors.IsForbidden(err) {
				t.Errorf("a node without a name: %v", err)
			}
		})
	}
}

func (c cluster) List(_ context.Context, gvr schema.GroupVersionResource, ns string) ([]api.Object, error) {
	var out []api.Object
	for _, obj := range c {
		if r, _ := api.ResourceOf(obj); r.GVR() == gvr && (ns == "" || obj.GetNamespace() == ns) {
			out = append(out, obj)
		}
	}
	return out, nil
}

func (c cluster) UpdateStatus(ctx context.Context, gvr schema.GroupVersionResource, ns, name string, dryRun bool, change func(api.Object) (api.Object, error)) error {
	old, err := c.Get(ctx, gvr, ns, name)
	if err != nil {
		return err
	}
	obj, err := change(old)
	if err != nil || dryRun {
		return err
	}
	for i := range c {
		if c[i] == old {
			c[i] = obj
		}
	}
	return nil
}

func (broken) List(context.Context, schema.GroupVersionResource, string) ([]api.Object, error) {
	return nil, errors.New("no answer")
}
