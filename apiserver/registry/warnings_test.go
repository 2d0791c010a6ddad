package registry

import (
	"context"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestWarnings: whoever uses a field that nothing here acts upon is told so, and nobody else.
func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name, resource, text string
		want                 []string
	}{
		{"plain service", "services", "spec: {ports: [{port: 80}]}", nil},
		{"load balancer", "services", "spec: {type: LoadBalancer, ports: [{port: 80}], loadBalancerIP: 1.2.3.4, loadBalancerSourceRanges: [10.0.0.0/8]}",
			[]string{"spec.type:", "spec.loadBalancerIP:"}},
		{"near traffic", "services", "spec: {trafficDistribution: PreferClose, ports: [{port: 80}]}", nil},
		{"node", "nodes", "spec: {unschedulable: true}", nil},
		{"configured node", "nodes", "spec: {configSource: {}}", []string{"spec.configSource:"}},
		{"lease", "leases", "spec: {holderIdentity: a}", nil},
		{"coordinated lease", "leases", "spec: {strategy: OldestEmulationVersion}", []string{"spec.strategy:"}},
		{"template", "deployments", "spec: {template: {spec: {hostUsers: false, containers: [{name: a, resources: {claims: [{name: g}]}}]}}}",
			[]string{"spec.template.spec.hostUsers:", "spec.template.spec.containers[0].resources.claims:"}},
		{"pod", "pods", "spec: {containers: [{name: a, stdin: true, stdinOnce: true}]}", nil},
		{"pod and its security", "pods", `
spec:
  securityContext: {seLinuxOptions: {level: a}, supplementalGroupsPolicy: Merge}
  volumes: [{name: a, projected: {sources: [{podCertificate: {}}]}}, {name: b, configMap: {name: c, defaultUser: 5}}]
  containers: [{name: a, securityContext: {appArmorProfile: {type: Unconfined}}, livenessProbe: {grpc: {port: 1, mode: TLS}}}]`,
			[]string{"spec.securityContext.seLinuxOptions:", "spec.volumes[0].projected:", "spec.volumes[1]:",
				"spec.containers[0].securityContext.appArmorProfile:", "spec.containers[0].probes:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range All(Config{}) {
				if d.Name != c.resource || d.Virtual != nil {
					continue
				}
				obj := d.New()
				if err := yaml.UnmarshalStrict([]byte(c.text), obj); err != nil {
					t.Fatal(err)
				}
				got := d.Warnings(context.Background(), obj, nil)
				if len(got) != len(c.want) {
					t.Fatalf("warned %q, want %q", got, c.want)
				}
				for i, w := range c.want {
					if !strings.HasPrefix(got[i], w) || len(got[i]) < len(w)+5 {
						t.Errorf("warned %q, want something about %q", got[i], w)
					}
				}
			}
		})
	}
}
