package iptables

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/proxy"
)

// The chains that every Service shares. Chains of one port or endpoint are named by hash.
const (
	servicesChain  = "MINIORCH-SERVICES"    // nat: by ClusterIP and external address
	nodePortsChain = "MINIORCH-NODEPORTS"   // nat: by node port
	markChain      = "MINIORCH-MARK"        // nat: marks what must be masqueraded
	masqChain      = "MINIORCH-POSTROUTING" // nat: masquerades what is marked
	refuseChain    = "MINIORCH-REFUSE"      // filter: ports without endpoints
)

// masqueradeMark is the bit of the packet mark that asks for masquerading; kube-proxy uses
// the same by default, so network plugins know to leave it alone.
const masqueradeMark = "0x4000/0x4000"

// Chains maps a chain's name to its rules, in the words of `iptables -A CHAIN …`.
type Chains map[string][]string

// fragment is what one Service contributes: chains of its own, and lines for shared ones.
type fragment struct {
	own       Chains
	services  []string
	nodePorts []string
	refuse    []string
}

func (f fragment) empty() bool {
	return len(f.own)+len(f.services)+len(f.nodePorts)+len(f.refuse) == 0
}

// render turns the ports of one Service into rules. It is pure: the same ports give the
// same rules, in the same order.
func render(ports []proxy.ServicePort, cluster netip.Prefix) fragment {
	f := fragment{own: Chains{}}
	for _, p := range ports {
		f.add(p, cluster)
	}
	return f
}

func (f *fragment) add(p proxy.ServicePort, cluster netip.Prefix) {
	svc := chainName("MO-SVC-", p.Key())
	ext := chainName("MO-EXT-", p.Key())
	to := func(ip netip.Addr) string { return fmt.Sprintf("-d %s/32 %s", ip, match(p, p.Port)) }

	if len(p.Cluster) > 0 {
		f.services = append(f.services, fmt.Sprintf("%s %s -j %s", to(p.ClusterIP), comment(p), svc))
		f.balance(svc, p, p.Cluster, fmt.Sprintf("! -s %s -j %s", cluster, markChain))
	} else {
		f.refuse = append(f.refuse, fmt.Sprintf("%s %s -j REJECT", to(p.ClusterIP), comment(p)))
	}
	if p.NodePort == 0 && len(p.External) == 0 {
		return
	}
	f.outside(p, svc, ext, cluster)
}

// outside adds what comes through node ports and external addresses. Pods of this cluster
// that use those are inside all the same: they are served as if they had used the ClusterIP.
func (f *fragment) outside(p proxy.ServicePort, svc, ext string, cluster netip.Prefix) {
	nodePort := match(p, p.NodePort)
	if len(p.Outside) == 0 {
		verdict := "REJECT"
		if p.DropOutside {
			verdict = "DROP"
		}
		if len(p.Cluster) == 0 || p.DropOutside {
			for _, ip := range p.External {
				f.refuse = append(f.refuse, fmt.Sprintf("-d %s/32 %s %s -j %s", ip, match(p, p.Port), comment(p), verdict))
			}
			if p.NodePort != 0 {
				f.refuse = append(f.refuse, fmt.Sprintf("-m addrtype --dst-type LOCAL %s %s -j %s", nodePort, comment(p), verdict))
			}
		}
		if len(p.Cluster) == 0 {
			return
		}
	}
	for _, ip := range p.External {
		f.external(p, ip, ext)
	}
	if p.NodePort != 0 {
		f.nodePorts = append(f.nodePorts, fmt.Sprintf("%s %s -j %s", nodePort, comment(p), ext))
	}
	if !p.PreserveSource {
		// The endpoint may be on another node, whose answer must come back this way.
		if slices.Equal(p.Cluster, p.Outside) {
			f.own[ext] = []string{"-j " + markChain, "-j " + svc}
			return
		}
		f.balance(ext, p, p.Outside, "-j "+markChain)
		return
	}
	head := []string{}
	if len(p.Cluster) > 0 {
		head = append(head, fmt.Sprintf("-s %s -j %s", cluster, svc), fmt.Sprintf("-m addrtype --src-type LOCAL -j %s", markChain), fmt.Sprintf("-m addrtype --src-type LOCAL -j %s", svc))
	}
	f.balance(ext, p, p.Outside, head...)
}

// external leads one external address to chain, for those who may use it.
func (f *fragment) external(p proxy.ServicePort, ip netip.Addr, chain string) {
	to := fmt.Sprintf("-d %s/32 %s %s", ip, match(p, p.Port), comment(p))
	if !slices.Contains(p.Guarded, ip) {
		f.services = append(f.services, to+" -j "+chain)
		return
	}
	for _, source := range p.Sources {
		f.services = append(f.services, fmt.Sprintf("-s %s %s -j %s", source, to, chain))
	}
	// Whoever was let in has another destination by now.
	f.refuse = append(f.refuse, to+" -j DROP")
}

// balance fills a chain that spreads connections over endpoints, after the rules of head.
func (f *fragment) balance(chain string, p proxy.ServicePort, endpoints []proxy.Endpoint, head ...string) {
	rules := slices.Clone(head)
	if p.AffinitySeconds > 0 {
		for _, e := range endpoints {
			sep := endpointChain(p, e)
			rules = append(rules, fmt.Sprintf("-m recent --name %s --rcheck --seconds %d --reap -j %s", sep, p.AffinitySeconds, sep))
		}
	}
	for i, e := range endpoints {
		sep := endpointChain(p, e)
		f.own[sep] = endpointRules(p, e, sep)
		if left := len(endpoints) - i; left > 1 {
			rules = append(rules, fmt.Sprintf("-m statistic --mode random --probability %.10f -j %s", 1/float64(left), sep))
		} else {
			rules = append(rules, "-j "+sep)
		}
	}
	f.own[chain] = rules
}

// endpointRules sends a connection to one endpoint. A pod that reaches itself is
// masqueraded: it would not accept an answer from its own address.
func endpointRules(p proxy.ServicePort, e proxy.Endpoint, chain string) []string {
	protocol := strings.ToLower(string(p.Protocol))
	dnat := fmt.Sprintf("-p %s -m %s -j DNAT --to-destination %s", protocol, protocol, e.Addr)
	if p.AffinitySeconds > 0 {
		dnat = fmt.Sprintf("-p %s -m %s -m recent --name %s --set -j DNAT --to-destination %s", protocol, protocol, chain, e.Addr)
	}
	return []string{fmt.Sprintf("-s %s/32 -j %s", e.Addr.Addr(), markChain), dnat}
}

func endpointChain(p proxy.ServicePort, e proxy.Endpoint) string {
	return chainName("MO-SEP-", p.Key()+" "+e.Addr.String())
}

func match(p proxy.ServicePort, port uint16) string {
	protocol := strings.ToLower(string(p.Protocol))
	return fmt.Sprintf("-p %s -m %s --dport %d", protocol, protocol, port)
}

func comment(p proxy.ServicePort) string {
	return fmt.Sprintf(`-m comment --comment "%s"`, strings.TrimSuffix(p.Key(), ":/"+string(p.Protocol)))
}

// chainName hashes what does not fit: chain names have at most 28 bytes.
func chainName(prefix, key string) string {
	sum := sha256.Sum256([]byte(key))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:16]
}

// fixed are the shared chains that do not depend on any Service.
func fixed() Chains {
	return Chains{
		markChain: {"-j MARK --set-xmark " + masqueradeMark},
		masqChain: {
			"-m mark ! --mark " + masqueradeMark + " -j RETURN",
			// Cleared, so that what leaves through a tunnel is not masqueraded once more.
			"-j MARK --set-xmark 0x4000/0x0",
			"-j MASQUERADE --random-fully",
		},
	}
}

// tables is the whole rule set, by table and chain.
type tables struct{ nat, filter Chains }

// compose joins the fragments of all Services, in the order of their names.
func compose(fragments map[string]fragment) tables {
	t := tables{nat: fixed(), filter: Chains{}}
	for _, f := range fragments {
		maps.Copy(t.nat, f.own)
	}
	t.share(fragments, fragment{}, true)
	return t
}

// share fills the chains that all Services share: those that differ has lines of, or all.
func (t tables) share(fragments map[string]fragment, differ fragment, all bool) {
	names := slices.Sorted(maps.Keys(fragments))
	join := func(lines func(fragment) []string) (joined []string) {
		for _, name := range names {
			joined = append(joined, lines(fragments[name])...)
		}
		return joined
	}
	if all || len(differ.services) > 0 {
		t.nat[servicesChain] = append(join(func(f fragment) []string { return f.services }), "-m addrtype --dst-type LOCAL -j "+nodePortsChain)
	}
	if all || len(differ.nodePorts) > 0 {
		t.nat[nodePortsChain] = join(func(f fragment) []string { return f.nodePorts })
	}
	if all || len(differ.refuse) > 0 {
		t.filter[refuseChain] = join(func(f fragment) []string { return f.refuse })
	}
}

// difference returns the tables before and after a change of some Services, as far as they
// differ: the changed Services' own chains, and the shared chains in which their lines changed.
// fragments holds all Services as they are after the change.
func difference(before, after, fragments map[string]fragment) (old, new tables) {
	old, new = tables{nat: Chains{}, filter: Chains{}}, tables{nat: Chains{}, filter: Chains{}}
	var differ fragment
	for name, now := range after {
		was := before[name]
		maps.Copy(old.nat, was.own)
		maps.Copy(new.nat, now.own)
		for _, pair := range []struct {
			to       *[]string
			was, now []string
		}{{&differ.services, was.services, now.services}, {&differ.nodePorts, was.nodePorts, now.nodePorts}, {&differ.refuse, was.refuse, now.refuse}} {
			if !slices.Equal(pair.was, pair.now) {
				*pair.to = append(append(*pair.to, pair.was...), pair.now...)
			}
		}
	}
	if len(differ.services)+len(differ.nodePorts)+len(differ.refuse) > 0 {
		new.share(fragments, differ, false)
	}
	return old, new
}

// script writes what makes old into new for iptables-restore --noflush: only chains that
// differ are named, so nothing else is touched. It is empty when nothing differs.
func script(table string, old, new Chains) string {
	var declare, fill, remove strings.Builder
	for _, chain := range slices.Sorted(maps.Keys(new)) {
		before, existed := old[chain]
		if existed && slices.Equal(before, new[chain]) {
			continue
		}
		fmt.Fprintf(&declare, ":%s - [0:0]\n", chain)
		for _, rule := range new[chain] {
			fmt.Fprintf(&fill, "-A %s %s\n", chain, rule)
		}
	}
	for _, chain := range slices.Sorted(maps.Keys(old)) {
		if _, kept := new[chain]; !kept {
			fmt.Fprintf(&declare, ":%s - [0:0]\n", chain)
			fmt.Fprintf(&remove, "-X %s\n", chain)
		}
	}
	if declare.Len() == 0 {
		return ""
	}
	return "*" + table + "\n" + declare.String() + fill.String() + remove.String() + "COMMIT\n"
}

// known reports whether a chain is one of ours.
func known(chain string) bool {
	switch chain {
	case servicesChain, nodePortsChain, markChain, masqChain, refuseChain:
		return true
	}
	for _, prefix := range []string{"MO-SVC-", "MO-EXT-", "MO-SEP-"} {
		if strings.HasPrefix(chain, prefix) {
			return true
		}
	}
	return false
}

// supported says why a port cannot be served, "" when it can.
func supported(p proxy.ServicePort) string {
	switch p.Protocol {
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		return ""
	}
	return fmt.Sprintf("protocol %q is not known", p.Protocol)
}
