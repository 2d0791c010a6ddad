package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func mustConfig(t *testing.T, c Config) Config {
	t.Helper()
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfig(t *testing.T) {
	cases := []struct {
		reason string
		config Config
		says   string // part of the error; empty: none
	}{
		{"everything has a default", Config{Nodes: 2}, ""},
		{"a control plane alone", Config{Nodes: 0}, ""},
		{"a name that cannot be a link's or a directory's", Config{Name: "../etc"}, "--name"},
		{"capitals", Config{Name: "Lab"}, "--name"},
		{"several masters are for later", Config{Masters: 3}, "only one master"},
		{"no address is left for so many", Config{Nodes: 201}, "--nodes"},
	}
	for _, c := range cases {
		_, err := c.config.withDefaults()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.reason, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: error %v, want %q", c.reason, err, c.says)
		}
	}
}

func TestDecide(t *testing.T) {
	first, err := decide(mustConfig(t, Config{Nodes: 2, ImageDir: "/images", NodeFlags: []string{"--verbose"}}), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := `cluster miniorch: hosts 10.89.0.0/24 on mo-miniorch, pods 10.244.0.0/16, services 10.96.0.0/16
  master-1   10.89.0.2    netns mo-miniorch-master-1
  node-1     10.89.0.11   netns mo-miniorch-node-1
  node-2     10.89.0.12   netns mo-miniorch-node-2
`
	if got := first.String(); got != want {
		t.Errorf("plan:\n%s\nwant\n%s", got, want)
	}
	if first.DNS.String() != "10.96.0.10" || first.Gateway().String() != "10.89.0.1" || first.Server() != "https://10.89.0.2:6443" {
		t.Errorf("DNS %s, gateway %s, server %s", first.DNS, first.Gateway(), first.Server())
	}
	args := strings.Join(first.Hosts[1].Args, " ")
	for _, flag := range []string{"--node-name node-1", "--node-ip 10.89.0.11", "--cluster-dns 10.96.0.10", "--image-dir /images", "--verbose"} {
		if !strings.Contains(args, flag) {
			t.Errorf("node-1 is started without %q: %s", flag, args)
		}
	}
}

// TestClustersDoNotOverlap checks every pair that one machine can have: no range, link
// name, namespace or directory is used twice.
func TestClustersDoNotOverlap(t *testing.T) {
	var ranges []netip.Prefix
	names := map[string]string{}
	for number := range clusters {
		name := fmt.Sprintf("a-rather-long-cluster-name-%d", number)
		p, err := decide(mustConfig(t, Config{Name: name, Nodes: 3}), number)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []netip.Prefix{p.Network, p.Pods, p.Services} {
			for _, other := range ranges {
				if r.Overlaps(other) {
					t.Fatalf("cluster %d: %s overlaps %s", number, r, other)
				}
			}
			ranges = append(ranges, r)
		}
		used := []string{p.Bridge, p.Dir}
		for _, h := range p.Hosts {
			used = append(used, h.Link, h.NetNS, h.Dir, h.Cgroup)
			if len(h.Link) > 15 || len(p.Bridge) > 15 {
				t.Errorf("link names %s, %s: the kernel takes 15 bytes", h.Link, p.Bridge)
			}
		}
		for _, u := range used {
			if owner, twice := names[u]; twice {
				t.Errorf("%s is used by %s and %s", u, owner, name)
			}
			names[u] = name
		}
	}
	if _, err := decide(mustConfig(t, Config{}), clusters); err == nil {
		t.Error("one cluster too many has got a plan")
	}
}

func TestWithin(t *testing.T) {
	const group = "/miniorch/miniorch/node-1"
	cases := []struct {
		reason, memberships string
		want                bool
	}{
		{"the unified hierarchy", "0::" + group + "/agent\n", true},
		{"one controller of version 1 is enough", "9:memory:/\n3:pids:" + group + "/kubepods/pod1\n0::/\n", true},
		{"the group itself", "0::" + group + "\n", true},
		{"node-10 is not in node-1", "0::/miniorch/miniorch/node-10/agent\n", false},
		{"somebody else", "0::/system.slice/ssh.service\n", false},
		{"nonsense", "0\n\n:::\n", false},
	}
	for _, c := range cases {
		if got := within(group, c.memberships); got != c.want {
			t.Errorf("%s: %v, want %v", c.reason, got, c.want)
		}
	}
}

func TestStateIsKept(t *testing.T) {
	root := t.TempDir()
	for number, name := range []string{"one", "two"} {
		c := mustConfig(t, Config{Name: name, StateRoot: root, Nodes: number})
		if err := (state{Number: number, Config: c, IPForward: "0"}).save(); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := load(c); err != nil || !ok || got.Number != number || got.Config.Nodes != number {
			t.Fatalf("load(%s): %+v, %v, %v", name, got, ok, err)
		}
	}
	taken, err := addressesInUse()
	if err != nil {
		t.Fatal(err)
	}
	free, err := freeNumber(root)
	if err != nil || free < 2 {
		t.Errorf("free number %d (err %v), want one that neither 0, 1 nor %v is", free, err, taken)
	}
	if _, ok, err := load(Config{Name: "absent", StateRoot: root}); ok || err != nil {
		t.Errorf("a cluster that was never made: %v, %v", ok, err)
	}
}
