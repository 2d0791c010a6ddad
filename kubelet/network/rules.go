package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// forwarding is what one pod's host ports come to; it is kept on disk so that the rules
// can be rebuilt whole after a restart.
type forwarding struct {
	IP    netip.Addr         `json:"ip"`
	Pod   string             `json:"pod"`
	Ports []sandbox.HostPort `json:"ports"`
}

// forward makes the pod's host ports lead to ip.
func (n *Network) forward(spec sandbox.Spec, ip netip.Addr) error {
	if len(spec.HostPorts) == 0 {
		return nil
	}
	n.rules.Lock()
	defer n.rules.Unlock()
	if err := os.MkdirAll(n.forwardDir(), 0o755); err != nil {
		return err
	}
	content, err := json.Marshal(forwarding{IP: ip, Pod: spec.Namespace + "/" + spec.Name, Ports: spec.HostPorts})
	if err != nil {
		return err
	}
	path := filepath.Join(n.forwardDir(), string(spec.UID))
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, content) {
		return nil
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	if err := n.writeHostPorts(); err != nil {
		return err
	}
	n.forget(spec.HostPorts)
	return nil
}

// forget is best effort: without it clients that keep their sockets notice later.
func (n *Network) forget(ports []sandbox.HostPort) {
	if err := forgetDatagrams(ports); err != nil {
		n.config.Logger.Warn("stale flows to UDP host ports go on until they time out", "node", n.config.NodeName, "err", err)
	}
}

func (n *Network) unforward(uid types.UID) error {
	n.rules.Lock()
	defer n.rules.Unlock()
	path := filepath.Join(n.forwardDir(), string(uid))
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := n.writeHostPorts(); err != nil {
		return err
	}
	var was forwarding
	if json.Unmarshal(content, &was) == nil {
		n.forget(was.Ports)
	}
	return nil
}

func (n *Network) forwardDir() string { return filepath.Join(n.config.StateDir, "hostports") }

// writeHostPorts rewrites the host-port chains from what is on disk.
func (n *Network) writeHostPorts() error {
	entries, err := os.ReadDir(n.forwardDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var all []forwarding
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(n.forwardDir(), e.Name()))
		if err != nil {
			return err
		}
		var f forwarding
		if err := json.Unmarshal(content, &f); err != nil {
			continue // a crash while writing: the pod's Setup writes it again
		}
		all = append(all, f)
	}
	return restore(hostPortRules(all))
}

// hostPortRules renders the nat chains that forward host ports, whole.
func hostPortRules(all []forwarding) string {
	slices.SortFunc(all, func(a, b forwarding) int { return a.IP.Compare(b.IP) })
	var b strings.Builder
	b.WriteString("*nat\n:MINIORCH-HOSTPORTS - [0:0]\n:MINIORCH-HOSTPORT-MASQ - [0:0]\n")
	for _, f := range all {
		for _, p := range f.Ports {
			protocol := strings.ToLower(string(p.Protocol))
			to := ""
			if p.HostIP != "" && p.HostIP != "0.0.0.0" && p.HostIP != "::" {
				to = " -d " + p.HostIP + "/32"
			}
			fmt.Fprintf(&b, "-A MINIORCH-HOSTPORTS%s -p %s -m %s --dport %d -m comment --comment %q -j DNAT --to-destination %s:%d\n",
				to, protocol, protocol, p.HostPort, f.Pod, f.IP, p.ContainerPort)
			// A pod that reaches itself through the host port would otherwise see its own address as the peer's.
			fmt.Fprintf(&b, "-A MINIORCH-HOSTPORT-MASQ -s %s/32 -d %s/32 -p %s -m %s --dport %d -j MASQUERADE\n",
				f.IP, f.IP, protocol, protocol, p.ContainerPort)
			fmt.Fprintf(&b, "-A MINIORCH-HOSTPORT-MASQ -s 127.0.0.0/8 -d %s/32 -p %s -m %s --dport %d -j MASQUERADE\n",
				f.IP, protocol, protocol, p.ContainerPort)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// masqueradeRules renders the chain that hides pods behind the node towards everything
// that is not a pod.
func masqueradeRules(pods, cluster netip.Prefix) string {
	var b strings.Builder
	b.WriteString("*nat\n:MINIORCH-MASQUERADE - [0:0]\n")
	fmt.Fprintf(&b, "-A MINIORCH-MASQUERADE -d %s -j RETURN\n", cluster)
	fmt.Fprintf(&b, "-A MINIORCH-MASQUERADE -s %s ! -d 224.0.0.0/4 -j MASQUERADE\n", pods)
	b.WriteString("COMMIT\n")
	return b.String()
}

// jumps are the entries into our chains from the kernel's.
var jumps = [][]string{
	{"PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "MINIORCH-HOSTPORTS"},
	{"OUTPUT", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "MINIORCH-HOSTPORTS"},
	{"POSTROUTING", "-j", "MINIORCH-HOSTPORT-MASQ"},
	{"POSTROUTING", "-j", "MINIORCH-MASQUERADE"},
}

// ensureRules writes the chains and the jumps to them.
func (n *Network) ensureRules(cidr netip.Prefix) error {
	n.rules.Lock()
	defer n.rules.Unlock()
	if err := restore(masqueradeRules(cidr, n.config.ClusterCIDR)); err != nil {
		return err
	}
	if err := n.writeHostPorts(); err != nil {
		return err
	}
	for _, jump := range jumps {
		if iptables(append([]string{"-C"}, jump...)...) == nil {
			continue
		}
		if err := iptables(append([]string{"-A"}, jump...)...); err != nil {
			return err
		}
	}
	return n.ensureFilter()
}

// ensureFilter lets pods through, but not to what listens on the node's loopback.
func (n *Network) ensureFilter() error {
	comment := []string{"-m", "comment", "--comment", "miniorch pods", "-j"}
	rules := [][]string{
		// Drops by a FORWARD policy (Docker sets one) would cut pods off.
		append([]string{"FORWARD", "-i", n.config.Bridge}, append(slices.Clone(comment), "ACCEPT")...),
		append([]string{"FORWARD", "-o", n.config.Bridge}, append(slices.Clone(comment), "ACCEPT")...),
		append([]string{"INPUT", "-i", n.config.Bridge, "-d", "127.0.0.0/8", "-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED,DNAT"},
			append(slices.Clone(comment), "DROP")...),
	}
	for _, rule := range rules {
		if run("iptables", "", append([]string{"-w", "-t", "filter", "-C"}, rule...)...) == nil {
			continue
		}
		if err := run("iptables", "", append([]string{"-w", "-t", "filter", "-A"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

func iptables(args ...string) error {
	return run("iptables", "", append([]string{"-w", "-t", "nat"}, args...)...)
}

// restore replaces the chains that rules names, atomically, and leaves all others alone.
func restore(rules string) error {
	return run("iptables-restore", rules, "-w", "--noflush")
}

func run(program, input string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
