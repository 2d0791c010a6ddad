package admission_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/admission"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/quota"
)

// amounts makes a list from pairs of name and value.
func amounts(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

// quotaOf makes a quota whose status the controller has computed.
func quotaOf(name string, hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes},
		Status:     corev1.ResourceQuotaStatus{Hard: hard, Used: used},
	}
}

func asking(pairs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.InitContainers = nil
		p.Spec.Containers[0].Resources.Requests = amounts(pairs...)
	}
}

func TestResourceQuota(t *testing.T) {
	service := func(kind corev1.ServiceType, ports int) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Type: kind, Ports: make([]corev1.ServicePort, ports)}}
	}
	update := func(old, obj api.Object) *admission.Request {
		r := create(obj)
		r.Operation, r.Old = admission.Update, old
		return r
	}
	dry := func(r *admission.Request) *admission.Request { r.DryRun = true; return r }
	for _, tc := range []struct {
		name, reason string
		quotas       cluster
		request      *admission.Request
		refused      string
		used         string // of the first quota, afterwards
	}{
		{"room", "it is charged", cluster{quotaOf("q", amounts("pods", "2", "cpu", "1"), amounts("pods", "1", "cpu", "200m"))}, create(pod(asking("cpu", "500m"))), "", "cpu=700m,pods=2"},
		{"none", "the refusal says what, of how much", cluster{quotaOf("q", amounts("pods", "2", "cpu", "1"), amounts("pods", "1", "cpu", "600m"))}, create(pod(asking("cpu", "500m"))),
			"exceeded quota: q, requested: cpu=500m, used: cpu=600m, limited: cpu=1", "cpu=600m,pods=1"},
		{"nothing said", "what is limited must be asked for", cluster{quotaOf("q", amounts("cpu", "1"), amounts("cpu", "0"))}, create(pod(asking())), "failed quota: q: must specify cpu for: c", "cpu=0"},
		{"two quotas", "if one refuses, none is charged", cluster{quotaOf("a", amounts("pods", "5"), amounts("pods", "1")), quotaOf("b", amounts("pods", "1"), amounts("pods", "1"))},
			create(pod()), "exceeded quota: b", "pods=1"},
		{"new quota", "it limits nothing before what is there was counted", cluster{&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: amounts("pods", "0")}}}, create(pod()), "", ""},
		{"half a status", "what was not counted cannot be granted", cluster{quotaOf("q", amounts("pods", "5"), nil)}, create(pod()), "status unknown for quota: q, resources: pods", ""},
		{"scope", "the quota does not track such pods", cluster{quotaOf("q", amounts("pods", "0"), amounts("pods", "0"), corev1.ResourceQuotaScopeBestEffort)}, create(pod(asking("cpu", "1"))), "", "pods=0"},
		{"another namespace", "is none of its business", cluster{&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "q"}, Status: corev1.ResourceQuotaStatus{Hard: amounts("pods", "0")}}}, create(pod()), "", ""},
		{"dry run", "is refused as well, and charged for nothing", cluster{quotaOf("q", amounts("pods", "2"), amounts("pods", "1"))}, dry(create(pod())), "", "pods=1"},
		{"any kind", "can be counted", cluster{quotaOf("q", amounts("count/services", "1"), amounts("count/services", "1"))}, create(service("ClusterIP", 1)), "exceeded quota: q, requested: count/services=1", "count/services=1"},
		{"an update", "is charged for what is more", cluster{quotaOf("q", amounts("services", "5", "services.nodeports", "5"), amounts("services", "1", "services.nodeports", "1"))},
			update(service("NodePort", 1), service("NodePort", 3)), "", "services=1,services.nodeports=3"},
		{"a smaller one", "is given back when it is counted again", cluster{quotaOf("q", amounts("services", "5", "services.nodeports", "1"), amounts("services", "1", "services.nodeports", "3"))},
			update(service("NodePort", 3), service("NodePort", 1)), "", "services=1,services.nodeports=3"},
		{"an update of a pod", "cannot change what it takes", cluster{quotaOf("q", amounts("pods", "0"), amounts("pods", "1"))}, update(pod(), pod()), "", "pods=1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := admission.ResourceQuota{Cluster: tc.quotas, Now: time.Now}
			err := admission.Chain{p}.Validate(t.Context(), tc.request)
			if (err == nil) != (tc.refused == "") || err != nil && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("%s: got %v, want %q", tc.reason, err, tc.refused)
			}
			if got := quota.Text(tc.quotas[0].(*corev1.ResourceQuota).Status.Used); got != tc.used {
				t.Errorf("used %s, want %s", got, tc.used)
			}
		})
	}
}

func limitRange(items ...corev1.LimitRangeItem) cluster {
	return cluster{&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: items}}}
}

func TestLimitRangerFillsIn(t *testing.T) {
	lr := limitRange(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: amounts("cpu", "500m", "memory", "500Mi"), DefaultRequest: amounts("cpu", "100m", "memory", "200Mi")})
	p := pod(func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: amounts("cpu", "300m"), Limits: amounts("cpu", "300m")}
	})
	if err := (admission.LimitRanger{Read: lr}).Admit(t.Context(), create(p)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"cpu=300m,memory=200Mi | cpu=300m,memory=500Mi", "cpu=100m,memory=200Mi | cpu=500m,memory=500Mi"} {
		r := append(p.Spec.Containers, p.Spec.InitContainers...)[i].Resources
		if got := quota.Text(r.Requests) + " | " + quota.Text(r.Limits); got != want {
			t.Errorf("container %d: %s, want %s", i, got, want)
		}
	}
	want := "LimitRanger plugin set: memory request for container c; memory limit for container c; cpu, memory request for init container i; cpu, memory limit for init container i"
	if got := p.Annotations["kubernetes.io/limit-ranger"]; got != want {
		t.Errorf("annotation %q\nwant       %q", got, want)
	}
}

func TestLimitRangerRefuses(t *testing.T) {
	one := func(kind corev1.LimitType, edit func(*corev1.LimitRangeItem)) cluster {
		item := corev1.LimitRangeItem{Type: kind}
		edit(&item)
		return limitRange(item)
	}
	least := func(pairs ...string) func(*corev1.LimitRangeItem) {
		return func(i *corev1.LimitRangeItem) { i.Min = amounts(pairs...) }
	}
	most := func(pairs ...string) func(*corev1.LimitRangeItem) {
		return func(i *corev1.LimitRangeItem) { i.Max = amounts(pairs...) }
	}
	ratio := func(pairs ...string) func(*corev1.LimitRangeItem) {
		return func(i *corev1.LimitRangeItem) { i.MaxLimitRequestRatio = amounts(pairs...) }
	}
	limited := func(request, limit string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.InitContainers = nil
			if request != "" {
				p.Spec.Containers[0].Resources.Requests = amounts("cpu", request)
			}
			if limit != "" {
				p.Spec.Containers[0].Resources.Limits = amounts("cpu", limit)
			}
		}
	}
	two := func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}, Spec: corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{Requests: amounts("storage", "5Gi")}}}
	container, whole := corev1.LimitTypeContainer, corev1.LimitTypePod
	for _, tc := range []struct {
		name    string
		limits  cluster
		obj     api.Object
		refused string
	}{
		{"within", one(container, func(i *corev1.LimitRangeItem) { i.Min, i.Max = amounts("cpu", "100m"), amounts("cpu", "1") }), pod(limited("100m", "1")), ""},
		{"too little", one(container, least("cpu", "100m")), pod(limited("50m", "")), "minimum cpu usage per Container is 100m, but request is 50m"},
		{"nothing asked for", one(container, least("cpu", "100m")), pod(limited("", "")), "minimum cpu usage per Container is 100m.  No request is specified"},
		{"too much", one(container, most("cpu", "1")), pod(limited("1", "2")), "maximum cpu usage per Container is 1, but limit is 2"},
		{"no limit", one(container, most("cpu", "1")), pod(limited("1", "")), "maximum cpu usage per Container is 1.  No limit is specified"},
		{"too far apart", one(container, ratio("cpu", "2")), pod(limited("100m", "300m")), "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"},
		{"all containers together", one(whole, most("cpu", "1")), pod(limited("600m", "600m"), two), "maximum cpu usage per Pod is 1, but limit is 1200m"},
		{"several reasons", limitRange(corev1.LimitRangeItem{Type: container, Min: amounts("cpu", "1")}, corev1.LimitRangeItem{Type: whole, Max: amounts("cpu", "10m")}), pod(limited("20m", "20m")), "[minimum cpu usage per Container is 1, but request is 20m, maximum cpu usage per Pod is 10m, but limit is 20m]"},
		{"a claim", one(corev1.LimitTypePersistentVolumeClaim, most("storage", "1Gi")), claim, "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 5Gi"},
		{"a small claim", one(corev1.LimitTypePersistentVolumeClaim, least("storage", "10Gi")), claim, "minimum storage usage per PersistentVolumeClaim is 10Gi, but request is 5Gi"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := admission.LimitRanger{Read: tc.limits}.Validate(t.Context(), create(tc.obj))
			if (err == nil) != (tc.refused == "") || err != nil && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("got %v, want %q", err, tc.refused)
			}
		})
	}
}
