package env

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestExpand(t *testing.T) {
	lookup := func(n string) (string, bool) {
		v, ok := map[string]string{"A": "1", "B": "$(A)", "": "empty"}[n]
		return v, ok
	}
	for _, tc := range []struct{ in, want, reason string }{
		{"plain", "plain", "nothing to do"},
		{"$(A)", "1", "a reference"},
		{"x$(A)y$(A)", "x1y1", "several"},
		{"$$(A)", "$(A)", "an escaped reference"},
		{"$$$(A)", "$1", "an escaped dollar before a reference"},
		{"$$$$", "$$", "escaped dollars"},
		{"$(C)", "$(C)", "unknown names stay"},
		{"$(B)", "$(A)", "values are not expanded again"},
		{"$(A", "$(A", "not closed"},
		{"$", "$", "a dollar at the end"},
		{"$A", "$A", "a shell's syntax is none of ours"},
		{"a$(", "a$(", "open at the end"},
	} {
		if got := Expand(tc.in, lookup); got != tc.want {
			t.Errorf("Expand(%q) = %q, want %q: %s", tc.in, got, tc.want, tc.reason)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A)$$x$(")
	f.Fuzz(func(t *testing.T, s string) {
		none := func(string) (string, bool) { return "", false }
		if got := Expand(s, none); !strings.Contains(s, "$$") && got != s {
			t.Errorf("%q became %q although nothing is known", s, got)
		}
	})
}

func testPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", UID: "u1", Labels: map[string]string{"app": "web", "a/b": `q"x`}},
		Spec:       corev1.PodSpec{NodeName: "n1", ServiceAccountName: "sa"},
	}
}

func service(ns, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func TestBuild(t *testing.T) {
	yes, no := true, false
	src := Sources{
		Services: []*corev1.Service{
			service("default", "kubernetes", "10.96.0.1", corev1.ServicePort{Name: "https", Port: 443}),
			service("shop", "red-is", "10.96.0.7", corev1.ServicePort{Port: 6379, Protocol: "TCP"}),
			service("shop", "headless", "None", corev1.ServicePort{Port: 1}),
			service("other", "no", "10.96.0.8", corev1.ServicePort{Port: 1}),
		},
		ConfigMap: func(name string) (*corev1.ConfigMap, error) {
			if name != "cm" {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
			}
			return &corev1.ConfigMap{Data: map[string]string{"k": "v", "bad=name": "x", "with.dot": "d"}}, nil
		},
		Secret: func(name string) (*corev1.Secret, error) {
			return &corev1.Secret{Data: map[string][]byte{"pw": []byte("s3")}}, nil
		},
	}
	ref := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	keyRef := func(name, key string, optional *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref(name), Key: key, Optional: optional}}
	}
	for _, tc := range []struct {
		name    string
		links   *bool
		c       corev1.Container
		want    []string
		skipped int
		err     string
	}{
		{name: "API service only", links: &no, want: []string{
			"KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
			"KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO=tcp",
			"KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1"}},
		{name: "order and expansion", c: corev1.Container{Env: []corev1.EnvVar{
			{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)$(LATER)$(RED_IS_SERVICE_PORT)"}, {Name: "A", Value: "2"}}},
			want: []string{"A=2", "B=1$(LATER)6379"}},
		{name: "config map and secret keys", c: corev1.Container{Env: []corev1.EnvVar{
			{Name: "K", ValueFrom: keyRef("cm", "k", nil)},
			{Name: "P", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s"), Key: "pw"}}}}},
			want: []string{"K=v", "P=s3"}},
		{name: "missing map", c: corev1.Container{Env: []corev1.EnvVar{{Name: "K", ValueFrom: keyRef("no", "k", nil)}}}, err: `configmaps "no" not found`},
		{name: "missing key", c: corev1.Container{Env: []corev1.EnvVar{{Name: "K", ValueFrom: keyRef("cm", "no", nil)}}}, err: "couldn't find key no in ConfigMap shop/cm"},
		{name: "optional", c: corev1.Container{Env: []corev1.EnvVar{
			{Name: "K", ValueFrom: keyRef("no", "k", &yes)}, {Name: "L", ValueFrom: keyRef("cm", "no", &yes)}}}},
		{name: "envFrom", c: corev1.Container{EnvFrom: []corev1.EnvFromSource{
			{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cm")}}}},
			want: []string{"P_k=v", "P_with.dot=d"}, skipped: 1},
		{name: "fields", c: corev1.Container{Env: []corev1.EnvVar{
			{Name: "N", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "L", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}}}},
			want: []string{"N=web-0", "L=web"}},
		{name: "unknown source", c: corev1.Container{Env: []corev1.EnvVar{{Name: "F", ValueFrom: &corev1.EnvVarSource{}}}}, err: "not supported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := testPod()
			pod.Spec.EnableServiceLinks = tc.links
			got, skipped, err := Build(pod, &tc.c, Facts{}, src)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tc.links == nil { // the table is about what is not a Service's
				got = own(got)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if len(skipped) != tc.skipped {
				t.Errorf("skipped %v", skipped)
			}
		})
	}
}

func own(vars []string) []string {
	var out []string
	for _, v := range vars {
		if !strings.HasPrefix(v, "KUBERNETES_") && !strings.HasPrefix(v, "RED_IS_") {
			out = append(out, v)
		}
	}
	return out
}

func TestFieldValue(t *testing.T) {
	facts := Facts{HostIPs: []string{"10.89.0.2", "fd00::2"}, PodIPs: []string{"10.244.0.3"}}
	for path, want := range map[string]string{
		"metadata.name": "web-0", "metadata.namespace": "shop", "metadata.uid": "u1",
		"metadata.labels": "a/b=\"q\\\"x\"\napp=\"web\"", "metadata.annotations": "", "metadata.annotations['x']": "",
		"spec.nodeName": "n1", "spec.serviceAccountName": "sa",
		"status.hostIP": "10.89.0.2", "status.hostIPs": "10.89.0.2,fd00::2", "status.podIP": "10.244.0.3", "status.podIPs": "10.244.0.3",
	} {
		if got, err := FieldValue(testPod(), path, facts); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	if _, err := FieldValue(testPod(), "spec.containers", facts); err == nil {
		t.Error("an unknown field was answered")
	}
}

func TestResourceValue(t *testing.T) {
	c := &corev1.Container{Name: "c", Resources: corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{"cpu": resource.MustParse("1500m")},
		Requests: corev1.ResourceList{"memory": resource.MustParse("100Mi")},
	}}
	node := corev1.ResourceList{"memory": resource.MustParse("2Gi")}
	for _, tc := range []struct{ field, divisor, want, reason string }{
		{"limits.cpu", "", "2", "rounded up to whole CPUs"},
		{"limits.cpu", "1m", "1500", "in thousandths"},
		{"requests.memory", "1Mi", "100", "in Mi"},
		{"limits.memory", "1Gi", "2", "the node's, for want of a limit"},
		{"requests.cpu", "1m", "0", "nothing requested"},
	} {
		ref := &corev1.ResourceFieldSelector{Resource: tc.field}
		if tc.divisor != "" {
			ref.Divisor = resource.MustParse(tc.divisor)
		}
		if got, err := ResourceValue(testPod(), c, ref, node); err != nil || got != tc.want {
			t.Errorf("%s/%s = %q, %v; want %q: %s", tc.field, tc.divisor, got, err, tc.want, tc.reason)
		}
	}
}

func TestResolvConf(t *testing.T) {
	dns := DNS{Servers: []string{"10.96.0.10"}, Domain: "cluster.local", Host: "domain old\nsearch lan.\nnameserver 1.1.1.1\noptions edns0\n"}
	cluster := "search shop.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n"
	host := "search lan\nnameserver 1.1.1.1\noptions edns0\n"
	two := "2"
	for _, tc := range []struct {
		name, want string
		spec       corev1.PodSpec
	}{
		{"cluster first", cluster, corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst}},
		{"default", host, corev1.PodSpec{DNSPolicy: corev1.DNSDefault}},
		{"cluster first on the host's network means default", host, corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, HostNetwork: true}},
		{"unless said otherwise", cluster, corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirstWithHostNet, HostNetwork: true}},
		{"none", "search x\nnameserver 9.9.9.9\noptions ndots:2\n", corev1.PodSpec{DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"9.9.9.9"}, Searches: []string{"x"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}}}}},
		{"options are replaced by name", "search shop.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:2 rotate\n",
			corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "rotate"}}}}},
	} {
		pod := testPod()
		pod.Spec = tc.spec
		if diff := cmp.Diff(tc.want, ResolvConf(pod, dns)); diff != "" {
			t.Errorf("%s:\n%s", tc.name, diff)
		}
	}
}

func TestHosts(t *testing.T) {
	pod := testPod()
	pod.Spec.Subdomain = "db"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}}
	got := Hosts(pod, []string{"10.244.0.3"}, "cluster.local", "")
	for _, want := range []string{"10.244.0.3\tweb-0.db.shop.svc.cluster.local\tweb-0\n", "1.2.3.4\ta\tb\n", "# Kubernetes-managed hosts file.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	pod.Spec.HostNetwork = true
	if got := Hosts(pod, nil, "cluster.local", "127.0.0.1 node\n"); !strings.Contains(got, "127.0.0.1 node\n") || strings.Contains(got, "web-0") {
		t.Errorf("host network: %s", got)
	}
}
