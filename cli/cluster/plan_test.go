package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		reason string
		config Config
		number int
		want   string
	}{
		{"the first cluster has the ranges that people know", Config{Nodes: 2}, 0, `
cluster miniorch: hosts 10.89.0.0/24 on mo-miniorch, pods 10.244.0.0/16, services 10.96.0.0/16
  master-1   10.89.0.2    netns mo-miniorch-master-1
  node-1     10.89.0.11   netns mo-miniorch-node-1
  node-2     10.89.0.12   netns mo-miniorch-node-2
`},
		{"later ones have ranges of their own; a long name does not fit into a link's", Config{Name: "a-rather-long-name", Nodes: 1}, 31, `
cluster a-rather-long-name: hosts 10.89.31.0/24 on mo-87d02c795d0, pods 10.159.0.0/16, services 10.191.0.0/16
  master-1   10.89.31.2   netns mo-a-rather-long-name-master-1
  node-1     10.89.31.11  netns mo-a-rather-long-name-node-1
`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			config, err := c.config.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			p, err := decide(config, c.number)
			if err != nil {
				t.Fatal(err)
			}
			if got := "\n" + p.String(); got != c.want {
				t.Errorf("got%s\nwant%s", got, c.want)
			}
		})
	}
}

// TestClustersDoNotOverlap: all of them can be on one machine at once.
func TestClustersDoNotOverlap(t *testing.T) {
	var taken []netip.Prefix
	links := map[string]bool{}
	for n := range clusters {
		config, err := Config{Name: "c" + strings.Repeat("x", n), Nodes: 3}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		p, err := decide(config, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, mine := range []netip.Prefix{p.Network, p.Pods, p.Services} {
			for _, other := range taken {
				if mine.Overlaps(other) {
					t.Errorf("cluster %d: %s overlaps %s", n, mine, other)
				}
			}
			taken = append(taken, mine)
		}
		if !p.Services.Contains(p.DNS) {
			t.Errorf("cluster %d: the name server %s is not in %s", n, p.DNS, p.Services)
		}
		names := []string{p.Bridge}
		for _, h := range p.Hosts {
			names = append(names, h.Link)
		}
		for _, name := range names {
			if links[name] || len(name) > 15 {
				t.Errorf("cluster %d: link name %q is there already or too long", n, name)
			}
			links[name] = true
		}
	}
	if _, err := decide(Config{}, clusters); err == nil {
		t.Error("a cluster too many is accepted")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		reason string
		config Config
		want   string
	}{
		{"a name becomes part of paths and link names", Config{Name: "../x"}, "--name"},
		{"one that is too long for a path to a socket", Config{Name: strings.Repeat("x", 33)}, "--name"},
		{"several masters are not there yet", Config{Masters: 3}, "--masters 3"},
		{"addresses .11 to .210 are for nodes", Config{Nodes: 201}, "--nodes 201"},
		{"less than none", Config{Nodes: -1}, "--nodes -1"},
		{"a control plane alone", Config{Nodes: 0}, ""},
	} {
		_, err := c.config.withDefaults()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.reason, err, c.want)
		}
	}
}

func TestWithin(t *testing.T) {
	const group = "/miniorch/a/node-1"
	for _, c := range []struct {
		reason, memberships string
		want                bool
	}{
		{"cgroup v2, below", "0::/miniorch/a/node-1/agent\n", true},
		{"itself", "0::/miniorch/a/node-1\n", true},
		{"cgroup v1, in one hierarchy of several", "4:memory:/user\n1:name=systemd:/miniorch/a/node-1/kubepods/x\n", true},
		{"another host with the same beginning", "0::/miniorch/a/node-11/agent\n", false},
		{"another cluster", "0::/miniorch/b/node-1\n", false},
		{"nothing", "", false},
	} {
		if got := within(group, c.memberships); got != c.want {
			t.Errorf("%s: got %v", c.reason, got)
		}
	}
}
