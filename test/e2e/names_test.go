package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// testNames asks, from a pod, for every kind of name that the cluster has.
func (w *world) testNames(t *testing.T) {
	manifest, err := os.ReadFile("testdata/names.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	w.kubectl(t, "-n", "names", "wait", "--for=condition=Ready", "pod/zero", "--timeout=3m")
	t.Run("names", w.clusterNames)
	t.Run("aliases", w.aliases)
	t.Run("files", w.nameFiles)
	w.kubectl(t, "delete", "namespace", "names", "--wait=false")
}

// lookup waits until the answer to a question is want: nslookup's lines, joined.
func (w *world) lookup(t *testing.T, qtype, name string, want ...string) {
	t.Helper()
	eventually(t, qtype+" "+name, func() error {
		out, err := w.run("-n", "names", "exec", "zero", "-c", "main", "--", "nslookup", "-type="+qtype, name)
		for _, text := range want {
			if err == nil && !strings.Contains(out, text) {
				err = fmt.Errorf("want %q", text)
			}
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// reversed is the name under which an address's own name is found.
func reversed(ip string) string {
	parts := strings.Split(ip, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + ".in-addr.arpa"
}

func (w *world) clusterNames(t *testing.T) {
	ip := w.kubectl(t, "-n", "names", "get", "pod", "zero", "-o", "jsonpath={.status.podIP}")
	plain := w.kubectl(t, "-n", "names", "get", "service", "plain", "-o", "jsonpath={.spec.clusterIP}")
	const domain = ".names.svc.cluster.local"
	w.lookup(t, "a", "kubernetes.default.svc.cluster.local", w.Plan.Services.Addr().Next().String())
	w.lookup(t, "a", "plain"+domain, plain)
	w.lookup(t, "a", "db"+domain, ip)
	w.lookup(t, "a", "db-0.db"+domain, ip)
	w.lookup(t, "a", strings.ReplaceAll(ip, ".", "-")+".names.pod.cluster.local", ip)
	w.lookup(t, "srv", "_http._tcp.plain"+domain, "0 100 80 plain"+domain)
	w.lookup(t, "srv", "_dns._udp.plain"+domain, "0 100 53 plain"+domain)
	w.lookup(t, "srv", "_sql._tcp.db"+domain, "0 100 5432 db-0.db"+domain)
	w.lookup(t, "ptr", reversed(plain), "plain"+domain)
	w.lookup(t, "ptr", reversed(ip), "db-0.db"+domain)
	for _, partial := range []string{"plain", "plain.names", "plain.names.svc"} {
		eventually(t, "the partial name "+partial, func() error {
			out, err := w.run("-n", "names", "exec", "zero", "-c", "demo", "--", "/bin/demo", "lookup", partial)
			if err != nil || strings.TrimSpace(out) != plain {
				return fmt.Errorf("%s (err %v), want %s", out, err, plain)
			}
			return nil
		})
	}
	eventually(t, "the pod that is not ready to run", func() error {
		starting := w.kubectl(t, "-n", "names", "get", "pod", "starting", "-o", "jsonpath={.status.podIP}")
		if starting == "" {
			return fmt.Errorf("it has no address yet")
		}
		w.lookup(t, "a", "early"+domain, starting)
		return nil
	})
	if out, err := w.run("-n", "names", "exec", "zero", "-c", "main", "--", "nslookup", "late"+domain); err == nil || !strings.Contains(out, "NXDOMAIN") {
		t.Errorf("a Service of pods that are not ready has a name: %s", out)
	}
}

// aliases: what an alias leads to changes, and it becomes a Service with an address.
func (w *world) aliases(t *testing.T) {
	const name = "away.names.svc.cluster.local"
	w.lookup(t, "cname", name, "foo.example.com")
	w.kubectl(t, "-n", "names", "patch", "service", "away", "-p", `{"spec":{"externalName":"bar.example.com"}}`)
	w.lookup(t, "cname", name, "bar.example.com")
	w.kubectl(t, "-n", "names", "patch", "service", "away", "-p", `{"spec":{"type":"ClusterIP","externalName":null,"ports":[{"port":80}]}}`)
	w.lookup(t, "a", name, w.kubectl(t, "-n", "names", "get", "service", "away", "-o", "jsonpath={.spec.clusterIP}"))
}

// nameFiles are what pods find below /etc.
func (w *world) nameFiles(t *testing.T) {
	expect(t, w.kubectl(t, "-n", "names", "exec", "zero", "-c", "main", "--", "sh", "-c", "hostname; hostname -f; cat /etc/hosts"),
		"db-0\ndb-0.db.names.svc.cluster.local\n", "# Kubernetes-managed hosts file", "192.0.2.77\talias-one\talias-two")
	for pod, want := range map[string]string{
		"own-resolver": "search resolv.conf.local\nnameserver 192.0.2.53\noptions ndots:2 edns0\n",
		"on-node":      w.kubectl(t, "-n", "names", "get", "service", "plain", "-o", "jsonpath={.spec.clusterIP}"),
	} {
		w.kubectl(t, "-n", "names", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/"+pod, "--timeout=3m")
		expect(t, w.kubectl(t, "-n", "names", "logs", pod), want)
	}
}
