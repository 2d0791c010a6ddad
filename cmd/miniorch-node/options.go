package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// components are what --disable takes.
var components = []string{"proxy", "dns"}

// options are the flags, checked.
type options struct {
	Kubeconfig         string
	NodeName           string
	NodeIP             netip.Addr
	DataDir            string
	Port               uint16
	ContainerdAddress  string
	ImageDir           string
	CgroupRoot         string
	ClusterDNS         []netip.Addr
	ClusterDomain      string
	ClusterCIDR        netip.Prefix
	ServiceCIDR        netip.Prefix
	ResolvConf         string
	InsecureRegistries []string
	Disable            []string
	Hollow             int
	Verbose            bool
}

func parse(args []string) (options, error) {
	var o options
	host, err := os.Hostname()
	if err != nil {
		return o, err
	}
	flags := pflag.NewFlagSet("miniorch-node", pflag.ExitOnError)
	flags.SortFlags = false
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "how to reach the cluster, and as whom (required)")
	flags.StringVar(&o.NodeName, "node-name", strings.ToLower(host), "name of this node; its credentials must be for system:node:NAME")
	nodeIP := flags.String("node-ip", "", "address at which others reach this node (default: the one that leads to the API server)")
	flags.StringVar(&o.DataDir, "data-dir", "/var/lib/miniorch-node", "where containers, images, volumes and logs are kept")
	flags.Uint16Var(&o.Port, "port", 10250, "port of the kubelet's own API")
	flags.StringVar(&o.ContainerdAddress, "containerd-address", "", "socket of a containerd that runs already (default: start a private one)")
	flags.StringVar(&o.ImageDir, "image-dir", "", "directory with image tarballs to import at start")
	flags.StringVar(&o.CgroupRoot, "cgroup-root", "/miniorch-node", "control group below which pods get theirs")
	dns := flags.StringSlice("cluster-dns", []string{"10.96.0.10"}, "addresses of the cluster's name server, which this node serves")
	flags.StringVar(&o.ClusterDomain, "cluster-domain", "cluster.local", "the cluster's DNS domain")
	pods := flags.String("cluster-cidr", "10.244.0.0/16", "addresses of pods")
	services := flags.String("service-cidr", "10.96.0.0/16", "addresses of Services")
	flags.StringVar(&o.ResolvConf, "resolv-conf", "/etc/resolv.conf", "resolvers for names outside the cluster")
	flags.StringSliceVar(&o.InsecureRegistries, "insecure-registry", nil, "image registries (host or host:port) that speak plain HTTP; those on loopback always may")
	flags.StringSliceVar(&o.Disable, "disable", nil, "what not to run: proxy, dns")
	flags.IntVar(&o.Hollow, "hollow", 0, "instead of a real node, simulate this many: their containers run in memory only")
	flags.BoolVarP(&o.Verbose, "verbose", "v", false, "log more")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: all settings are flags, see --help", flags.Arg(0))
	}
	return o.check(*nodeIP, *dns, *pods, *services)
}

func (o options) check(nodeIP string, dns []string, pods, services string) (options, error) {
	if o.Kubeconfig == "" {
		return o, fmt.Errorf("--kubeconfig is required: the control plane's administrator makes one for each node")
	}
	for _, path := range []*string{&o.DataDir, &o.ImageDir, &o.Kubeconfig} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = absolute
	}
	var err error
	if nodeIP != "" {
		if o.NodeIP, err = netip.ParseAddr(nodeIP); err != nil {
			return o, fmt.Errorf("--node-ip %q is not an IP address", nodeIP)
		}
	}
	for _, text := range dns {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return o, fmt.Errorf("--cluster-dns %q is not an IP address", text)
		}
		o.ClusterDNS = append(o.ClusterDNS, ip)
	}
	if o.ClusterCIDR, err = netip.ParsePrefix(pods); err != nil {
		return o, fmt.Errorf("--cluster-cidr %q is not a range such as 10.244.0.0/16", pods)
	}
	if o.ServiceCIDR, err = netip.ParsePrefix(services); err != nil {
		return o, fmt.Errorf("--service-cidr %q is not a range such as 10.96.0.0/16", services)
	}
	for _, name := range o.Disable {
		if !slices.Contains(components, name) {
			return o, fmt.Errorf("--disable %s: one of %s", name, strings.Join(components, ", "))
		}
	}
	return o, nil
}

func (o options) disabled(component string) bool { return slices.Contains(o.Disable, component) }

func (o options) logger() *slog.Logger {
	level := slog.LevelInfo
	if o.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// addressTowards is the address that the kernel would call server from. Nothing is sent.
func addressTowards(server string) (netip.Addr, error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("finding this node's address towards %s (or give --node-ip): %w", server, err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
