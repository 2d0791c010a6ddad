// Package cluster builds a whole cluster on one Linux machine: each host is a network
// namespace joined by veth to a bridge that stands for the datacentre network, and runs
// the same binaries that a real machine would. It owns what it made and nothing else:
// Down removes all of it, also after a crash of any part.
package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Config says what cluster to build. Zero fields have the defaults named.
type Config struct {
	Name       string // "miniorch"
	Masters    int    // 1; more come with the high-availability control plane
	Nodes      int    // 2
	BinDir     string // where miniorch-master and miniorch-node are: beside the running program
	StateRoot  string // "/var/lib/miniorch": each cluster has a folder below it
	ImageDir   string // image tarballs that every node imports; empty: none
	Kubeconfig string // the user's kubeconfig, into which the context is merged; empty: none
	// CgroupRoot is where each host's control group is made.
	CgroupRoot string // "/miniorch"
	// MasterFlags and NodeFlags go to the hosts' programs as they are.
	MasterFlags, NodeFlags []string
}

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// withDefaults fills and checks the configuration.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "miniorch"
	}
	if c.StateRoot == "" {
		c.StateRoot = "/var/lib/miniorch"
	}
	if c.CgroupRoot == "" {
		c.CgroupRoot = "/miniorch"
	}
	if c.Masters == 0 {
		c.Masters = 1
	}
	switch {
	case !validName.MatchString(c.Name):
		return c, fmt.Errorf("--name %q: lower-case letters, digits and '-' only, at most 32", c.Name)
	case c.Masters != 1:
		return c, fmt.Errorf("--masters %d: only one master is supported so far", c.Masters)
	case c.Nodes < 0 || c.Nodes > 200:
		return c, fmt.Errorf("--nodes %d: between 0 and 200", c.Nodes)
	}
	return c, nil
}

func (c Config) dir() string { return filepath.Join(c.StateRoot, c.Name) }

// Role is what a host runs.
type Role string

// The roles of a host.
const (
	Master Role = "master"
	Node   Role = "node"
)

// Host is one machine of the cluster: a network namespace and the program in it.
type Host struct {
	Name   string // "master-1", also the Node's name
	Role   Role
	IP     netip.Addr
	NetNS  string // below /run/netns, for `ip netns exec`
	Link   string // this machine's end of the host's cable
	Dir    string // data
	Log    string
	Cgroup string // below every hierarchy's root
	Args   []string
}

// Plan is everything that a cluster consists of: a value that follows from the
// configuration and the cluster's number on this machine alone.
type Plan struct {
	Name     string
	Dir      string
	Bridge   string
	Network  netip.Prefix // hosts; this machine has the first address
	Pods     netip.Prefix
	Services netip.Prefix
	DNS      netip.Addr
	Hosts    []Host
}

const securePort = 6443

// clusters is how many clusters one machine can have: their ranges must not overlap.
const clusters = 32

// decide lays out the cluster with the given number (0 … clusters-1) on this machine.
func decide(c Config, number int) (Plan, error) {
	if number < 0 || number >= clusters {
		return Plan{}, errors.New("there are too many clusters on this machine: remove one with `miniorchctl cluster down --name NAME`")
	}
	p := Plan{
		Name: c.Name, Dir: c.dir(), Bridge: shortName("mo-", c.Name, ""),
		Network:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, byte(number), 0}), 24),
		Pods:     netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128 + byte(number), 0, 0}), 16),
		Services: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 160 + byte(number), 0, 0}), 16),
	}
	if number == 0 { // what people know from every tutorial
		p.Pods, p.Services = netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.96.0.0/16")
	}
	dns := p.Services.Addr().As4()
	dns[3] = 10
	p.DNS = netip.AddrFrom4(dns)
	for i := range c.Masters {
		h := p.host(c, Master, i+1, 2+i)
		h.Args = []string{
			"--data-dir", h.Dir, "--secure-port", fmt.Sprint(securePort), "--bind-address", "0.0.0.0", "--advertise-address", h.IP.String(),
			"--cluster-cidr", p.Pods.String(), "--service-cidr", p.Services.String(),
		}
		h.Args = append(h.Args, c.MasterFlags...)
		p.Hosts = append(p.Hosts, h)
	}
	for i := range c.Nodes {
		h := p.host(c, Node, i+1, 11+i)
		h.Args = []string{
			"--data-dir", h.Dir, "--kubeconfig", filepath.Join(h.Dir, "kubeconfig"), "--node-name", h.Name, "--node-ip", h.IP.String(),
			"--cgroup-root", h.Cgroup, "--cluster-dns", p.DNS.String(), "--cluster-cidr", p.Pods.String(), "--service-cidr", p.Services.String(),
		}
		if c.ImageDir != "" {
			h.Args = append(h.Args, "--image-dir", c.ImageDir)
		}
		h.Args = append(h.Args, c.NodeFlags...)
		p.Hosts = append(p.Hosts, h)
	}
	return p, nil
}

func (p Plan) host(c Config, role Role, i, address int) Host {
	name := fmt.Sprintf("%s-%d", role, i)
	network := p.Network.Addr().As4()
	network[3] = byte(address)
	dir := filepath.Join(p.Dir, name)
	return Host{
		Name: name, Role: role, IP: netip.AddrFrom4(network), Dir: dir, Log: filepath.Join(p.Dir, name+".log"),
		NetNS: fmt.Sprintf("mo-%s-%s", p.Name, name), Link: shortName("mo", p.Name, fmt.Sprintf("%c%d", role[0], i)),
		Cgroup: c.CgroupRoot + "/" + p.Name + "/" + name,
	}
}

// Gateway is this machine's address on the hosts' network.
func (p Plan) Gateway() netip.Addr { return p.Network.Addr().Next() }

// Server is the URL of the API.
func (p Plan) Server() string {
	return fmt.Sprintf("https://%s", netip.AddrPortFrom(p.Hosts[0].IP, securePort))
}

// nodes lists the hosts that are nodes.
func (p Plan) nodes() []Host {
	var nodes []Host
	for _, h := range p.Hosts {
		if h.Role == Node {
			nodes = append(nodes, h)
		}
	}
	return nodes
}

// String draws the plan, a line for each host.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s: hosts %s on %s, pods %s, services %s\n", p.Name, p.Network, p.Bridge, p.Pods, p.Services)
	for _, h := range p.Hosts {
		fmt.Fprintf(&b, "  %-10s %-12s netns %s\n", h.Name, h.IP, h.NetNS)
	}
	return b.String()
}

// shortName joins the parts if they fit into a link's name (15 bytes), and replaces the middle
// by a hash if not.
func shortName(prefix, name, suffix string) string {
	if len(prefix)+len(name)+len(suffix) <= 15 {
		return prefix + name + suffix
	}
	sum := sha256.Sum256([]byte(name))
	return prefix + hex.EncodeToString(sum[:])[:15-len(prefix)-len(suffix)-1] + suffix
}
