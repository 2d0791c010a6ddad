package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// testServices sends packets by every way that leads to a Service, and changes Services under
// their clients.
func (w *world) testServices(t *testing.T) {
	manifest, err := os.ReadFile("testdata/services.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	w.kubectl(t, "-n", "services", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=3m")
	t.Run("addresses", w.serviceAddresses)
	t.Run("types", w.serviceTypes)
	t.Run("affinity", w.serviceAffinity)
	t.Run("local policies", w.serviceLocality)
	t.Run("datagrams", w.serviceDatagrams)
	t.Run("endpoints by hand", w.manualEndpoints)
	t.Run("host ports", w.hostPorts)
	w.kubectl(t, "delete", "namespace", "services", "--wait=false")
}

// nodeIP is the address of the node with this number, from 1.
func (w *world) nodeIP(number int) string { return w.Plan.Hosts[number].IP.String() }

// demo runs a command of the demo program in a client's pod.
func (w *world) demo(client string, args ...string) (string, error) {
	out, err := w.run(append([]string{"-n", "services", "exec", client, "--", "/bin/demo"}, args...)...)
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", client, err, out)
	}
	return out, nil
}

// answers waits until a client gets an answer that contains all of want.
func (w *world) answers(t *testing.T, client string, args []string, want ...string) {
	t.Helper()
	eventually(t, strings.Join(args, " ")+" by "+client, func() error {
		out, err := w.demo(client, args...)
		for _, text := range want {
			if err == nil && !strings.Contains(out, text) {
				err = fmt.Errorf("want %q in %q", text, out)
			}
		}
		return err
	})
}

// fails waits until a client gets no answer, for a reason that contains why.
func (w *world) fails(t *testing.T, client string, args []string, why string) {
	t.Helper()
	eventually(t, strings.Join(args, " ")+" to fail for "+client, func() error {
		if out, err := w.demo(client, args...); err == nil || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("want %q: %v %s", why, err, out)
		}
		return nil
	})
}

func (w *world) service(t *testing.T, name, path string) string {
	t.Helper()
	return w.kubectl(t, "-n", "services", "get", "service", name, "-o", "jsonpath={"+path+"}")
}

// serviceAddresses: each address answers, by TCP and UDP, pods and nodes, from both servers.
func (w *world) serviceAddresses(t *testing.T) {
	ip := w.service(t, "web", ".spec.clusterIP")
	for client, addresses := range map[string][]string{
		"client": {"web:80", ip + ":80", w.nodeIP(1) + ":30180", w.nodeIP(2) + ":30180"},
		"host-1": {ip + ":80", w.nodeIP(2) + ":30180", "127.0.0.1:30180"},
	} {
		for _, address := range addresses {
			w.answers(t, client, []string{"get", "http://" + address + "/", "--count", "40"}, "in pod one", "in pod two", "0  failed")
			w.answers(t, client, []string{"udp", address, "--count", "40"}, "in pod one", "in pod two", "0  failed")
		}
	}
	nobody := w.service(t, "nobody", ".spec.clusterIP")
	for _, address := range []string{nobody + ":80", w.nodeIP(1) + ":30183", w.nodeIP(2) + ":30183"} {
		w.fails(t, "client", []string{"get", "http://" + address + "/"}, "refused")
	}
}

// serviceTypes: a Service becomes an alias, gives its address back, and gets another.
func (w *world) serviceTypes(t *testing.T) {
	patch := func(spec string) {
		t.Helper()
		w.kubectl(t, "-n", "services", "patch", "service", "changing", "-p", `{"spec":`+spec+`}`)
	}
	w.kubectl(t, "-n", "services", "create", "service", "externalname", "changing", "--external-name=web.services.svc.cluster.local")
	w.answers(t, "client", []string{"get", "http://changing/"}, "demo v1 in pod")
	patch(`{"type":"NodePort","externalName":"","selector":{"app":null,"only":"two"},"ports":[{"name":"http","port":80,"targetPort":8080,"nodePort":30184}]}`)
	for _, url := range []string{"http://changing/", "http://" + w.nodeIP(1) + ":30184/"} {
		w.answers(t, "client", []string{"get", url}, "in pod two")
	}
	patch(`{"type":"ClusterIP"}`)
	w.fails(t, "client", []string{"get", "http://" + w.nodeIP(1) + ":30184/"}, "refused")
	w.answers(t, "client", []string{"get", "http://changing/"}, "in pod two")
	patch(`{"type":"ExternalName","externalName":"web.services.svc.cluster.local"}`)
	if got := w.service(t, "changing", ".spec.clusterIP}{.spec.clusterIPs"); got != "" {
		t.Errorf("an alias keeps the address %s", got)
	}
	w.answers(t, "client", []string{"get", "http://changing/", "--count", "20"}, "in pod one", "in pod two")
	// What was given back is free.
	w.kubectl(t, "-n", "services", "create", "service", "nodeport", "next", "--tcp=80:8080", "--node-port=30184")
}

// serviceAffinity: with it one server answers a client, without it all do.
func (w *world) serviceAffinity(t *testing.T) {
	for _, address := range []string{w.service(t, "web", ".spec.clusterIP") + ":80", w.nodeIP(2) + ":30180"} {
		for _, step := range []struct {
			affinity string
			servers  int
		}{{"ClientIP", 1}, {"None", 2}} {
			w.kubectl(t, "-n", "services", "patch", "service", "web", "-p", `{"spec":{"sessionAffinity":"`+step.affinity+`"}}`)
			eventually(t, "affinity "+step.affinity+" at "+address, func() error {
				out, err := w.demo("client", "get", "http://"+address+"/", "--count", "30")
				if servers := strings.Count(out, "in pod "); err == nil && servers != step.servers {
					err = fmt.Errorf("%d servers answer, want %d:\n%s", servers, step.servers, out)
				}
				return err
			})
		}
	}
}

// serviceLocality: with policy Local a node serves from its own pods only, keeps the client's
// address, and says so to load balancers; these may be told whom to let in.
func (w *world) serviceLocality(t *testing.T) {
	w.answers(t, "client", []string{"get", "http://inner/"}, "in pod one")
	w.fails(t, "far-client", []string{"get", "http://inner/"}, "refused")

	eventually(t, "the machine's own address to be seen", func() error {
		out, err := request(w.nodeIP(1) + ":30181")
		if machine := w.Plan.Network.Addr().Next().String(); err == nil && !strings.Contains(out, "to "+machine+":") {
			err = fmt.Errorf("want %s in %s", machine, out)
		}
		return err
	})
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if conn, err := dialer.Dial("tcp", w.nodeIP(2)+":30181"); err == nil {
		conn.Close()
		t.Error("a node without endpoints accepts a connection from outside")
	}
	for number, want := range map[int]string{1: "200 1", 2: "503 0"} {
		eventually(t, "the health of node "+w.nodeIP(number), func() error {
			answer, err := http.Get("http://" + w.nodeIP(number) + ":30182/healthz")
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if got := fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("X-Load-Balancing-Endpoint-Weight")); err == nil && got != want {
				err = fmt.Errorf("%s: %s", got, body)
			}
			return err
		})
	}
	const balanced = "203.0.113.77"
	w.kubectl(t, "-n", "services", "patch", "service", "outer", "--subresource=status", "-p", `{"status":{"loadBalancer":{"ingress":[{"ip":"`+balanced+`"}]}}}`)
	w.fails(t, "client", []string{"get", "http://" + balanced + "/"}, "imeout")
	w.kubectl(t, "-n", "services", "patch", "service", "outer", "-p", `{"spec":{"loadBalancerSourceRanges":["198.51.100.0/24","`+w.Plan.Pods.String()+`"]}}`)
	w.answers(t, "client", []string{"get", "http://" + balanced + "/"}, "in pod one")
}

// serviceDatagrams: a client that keeps its port follows the server, and finds nobody when the
// port is taken away, which TCP on the same number does not notice.
func (w *world) serviceDatagrams(t *testing.T) {
	send := []string{"udp", w.service(t, "web", ".spec.clusterIP") + ":80", "--from", "4444"}
	for _, step := range []struct{ only, server string }{{"one", "in pod one"}, {"two", "in pod two"}, {"one", "in pod one"}} {
		w.kubectl(t, "-n", "services", "patch", "service", "web", "-p", `{"spec":{"selector":{"only":"`+step.only+`"}}}`)
		w.answers(t, "client", send, step.server)
	}
	w.kubectl(t, "-n", "services", "patch", "service", "web", "--type=json", "-p", `[{"op":"remove","path":"/spec/ports/1"}]`)
	w.fails(t, "client", send, "imeout")
	w.answers(t, "client", []string{"get", "http://web/"}, "in pod one")
}

// manualEndpoints: EndpointSlices that people write, with addresses and ports of their own.
func (w *world) manualEndpoints(t *testing.T) {
	ip := map[string]string{}
	for _, pod := range []string{"one", "two"} {
		ip[pod] = w.kubectl(t, "-n", "services", "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
		port := map[string]string{"one": "a", "two": "b"}[pod]
		w.apply(t, `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: manual-`+pod+`, namespace: services, labels: {kubernetes.io/service-name: manual}},
  addressType: IPv4, ports: [{name: `+port+`, port: 8080}], endpoints: [{addresses: [`+ip[pod]+`]}]}`)
	}
	w.answers(t, "client", []string{"get", "http://manual:80/"}, "in pod one")
	w.answers(t, "client", []string{"get", "http://manual:81/"}, "in pod two")
	w.kubectl(t, "-n", "services", "patch", "endpointslice", "manual-one", "--type=merge", "-p", `{"endpoints":[{"addresses":["`+ip["two"]+`"]}]}`)
	w.answers(t, "client", []string{"get", "http://manual:80/"}, "in pod two")
}

// hostPorts: one number for three pods of a node, told apart by address and protocol.
func (w *world) hostPorts(t *testing.T) {
	for name, port := range map[string]string{
		"loopback": `{hostIP: 127.0.0.1, hostPort: 30190, containerPort: 8080}`,
		"address":  `{hostIP: ` + w.nodeIP(1) + `, hostPort: 30190, containerPort: 8080}`,
		"datagram": `{hostIP: ` + w.nodeIP(1) + `, hostPort: 30190, containerPort: 8081, protocol: UDP}`,
	} {
		w.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: `+name+`, namespace: services}, spec: {nodeSelector: {kubernetes.io/hostname: node-1}, terminationGracePeriodSeconds: 0,
  containers: [{name: main, image: "miniorch/demo:v1", command: [/bin/demo, serve, --udp, ":8081"], ports: [`+port+`]}]}}`)
	}
	w.answers(t, "host-1", []string{"get", "http://127.0.0.1:30190/"}, "in pod loopback")
	for _, client := range []string{"host-1", "far-client"} {
		w.answers(t, client, []string{"get", "http://" + w.nodeIP(1) + ":30190/"}, "in pod address")
		w.answers(t, client, []string{"udp", w.nodeIP(1) + ":30190"}, "in pod datagram")
	}
}
