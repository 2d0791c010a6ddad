package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/miniorch/miniorch/controllers"
	"github.com/miniorch/miniorch/scheduler/config"
)

// components are what --disable takes, besides names of single controllers.
var components = []string{"scheduler", "controllers"}

// leastGrace is the shortest time after which silence means death: one heartbeat of 10 s
// and what a busy machine may delay it.
const leastGrace = 15 * time.Second

// options are the flags, checked.
type options struct {
	DataDir          string
	Name             string
	Bind             netip.Addr
	Advertise        netip.Addr
	Port             uint16
	ClusterCIDR      netip.Prefix
	ServiceCIDR      netip.Prefix
	Etcd             etcdOptions
	Disable          []string
	TokenFile        string
	LeaderElect      bool
	NodeMonitorGrace time.Duration
	UsagePeriod      time.Duration
	AutoscalerPeriod time.Duration
	Scheduler        *config.Configuration // nil: the defaults
	Profiling        bool
	Verbose          bool

	roles *roles // which components run in this process
}

type etcdOptions struct {
	Servers       []string
	Cert, Key, CA string
	QuotaBytes    int64
}

func parse(args []string) (options, error) {
	var o options
	host, err := os.Hostname()
	if err != nil {
		return o, err
	}
	flags := pflag.NewFlagSet("miniorch-master", pflag.ExitOnError)
	flags.SortFlags = false
	flags.StringVar(&o.DataDir, "data-dir", "/var/lib/miniorch-master", "where etcd's data, keys and admin.kubeconfig are kept")
	flags.Uint16Var(&o.Port, "secure-port", 6443, "port of the API; 0 takes a free one")
	bind := flags.String("bind-address", "127.0.0.1", "address that the API listens on")
	advertise := flags.String("advertise-address", "", "address that the cluster reaches this server at (default: the bind address)")
	pods := flags.String("cluster-cidr", "10.244.0.0/16", "addresses of pods")
	services := flags.String("service-cidr", "10.96.0.0/16", "addresses of Services")
	flags.StringSliceVar(&o.Disable, "disable", nil, "what not to run: scheduler, controllers, or names of single controllers")
	flags.StringSliceVar(&o.Etcd.Servers, "etcd-servers", nil, "URLs of an external etcd (default: etcd runs in this process)")
	flags.StringVar(&o.Etcd.Cert, "etcd-certfile", "", "client certificate towards the external etcd")
	flags.StringVar(&o.Etcd.Key, "etcd-keyfile", "", "its key")
	flags.StringVar(&o.Etcd.CA, "etcd-cafile", "", "authority that the external etcd's certificate is from")
	flags.Int64Var(&o.Etcd.QuotaBytes, "etcd-quota-bytes", 4<<30, "largest size of the embedded etcd's database")
	flags.StringVar(&o.TokenFile, "token-auth-file", "", `file with static bearer tokens: lines of token,user,uid,"group1,group2"`)
	flags.StringVar(&o.Name, "name", host, "this master's name among several")
	flags.BoolVar(&o.LeaderElect, "leader-elect", false, "run scheduler and controllers only while holding their Lease (default true with --etcd-servers)")
	flags.DurationVar(&o.NodeMonitorGrace, "node-monitor-grace-period", 40*time.Second, "how long a node may miss its heartbeats before it is NotReady")
	flags.DurationVar(&o.UsagePeriod, "metric-resolution", 15*time.Second, "how often nodes are asked what they and their pods use")
	flags.DurationVar(&o.AutoscalerPeriod, "horizontal-pod-autoscaler-sync-period", 15*time.Second, "how often autoscalers look at their targets")
	schedulerConfig := flags.String("scheduler-config", "", "file with a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)")
	flags.BoolVar(&o.Profiling, "profiling", false, "serve /debug/pprof to administrators")
	flags.BoolVarP(&o.Verbose, "verbose", "v", false, "log more")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: all settings are flags, see --help", flags.Arg(0))
	}
	if !flags.Changed("leader-elect") {
		o.LeaderElect = len(o.Etcd.Servers) > 0
	}
	if o.Scheduler, err = readSchedulerConfig(*schedulerConfig); err != nil {
		return o, err
	}
	return o.check(*bind, *advertise, *pods, *services)
}

func (o options) check(bind, advertise, pods, services string) (options, error) {
	var err error
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return o, err
	}
	if o.Bind, err = netip.ParseAddr(bind); err != nil {
		return o, fmt.Errorf("--bind-address %q is not an IP address", bind)
	}
	if o.Advertise = o.Bind; advertise != "" {
		if o.Advertise, err = netip.ParseAddr(advertise); err != nil {
			return o, fmt.Errorf("--advertise-address %q is not an IP address", advertise)
		}
	}
	if o.Advertise.IsUnspecified() {
		return o, fmt.Errorf("--bind-address %s needs an --advertise-address: others cannot call %s", o.Bind, o.Bind)
	}
	if o.ClusterCIDR, err = netip.ParsePrefix(pods); err != nil {
		return o, fmt.Errorf("--cluster-cidr %q is not a range such as 10.244.0.0/16", pods)
	}
	if o.ServiceCIDR, err = netip.ParsePrefix(services); err != nil {
		return o, fmt.Errorf("--service-cidr %q is not a range such as 10.96.0.0/16", services)
	}
	if o.NodeMonitorGrace < leastGrace {
		return o, fmt.Errorf("--node-monitor-grace-period %s: at least %s, since nodes report every 10s", o.NodeMonitorGrace, leastGrace)
	}
	if o.UsagePeriod < time.Second {
		return o, fmt.Errorf("--metric-resolution %s: at least 1s, the shortest time that nodes make a rate of", o.UsagePeriod)
	}
	if o.AutoscalerPeriod < time.Second {
		return o, fmt.Errorf("--horizontal-pod-autoscaler-sync-period %s: at least 1s", o.AutoscalerPeriod)
	}
	if o.ClusterCIDR.Overlaps(o.ServiceCIDR) {
		return o, fmt.Errorf("--cluster-cidr %s and --service-cidr %s overlap", o.ClusterCIDR, o.ServiceCIDR)
	}
	return o, o.unknownDisable(controllers.Names)
}

func (o options) disabled(component string) bool { return slices.Contains(o.Disable, component) }

func (o options) logger() *slog.Logger {
	level := slog.LevelInfo
	if o.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// listen opens the API's port before anything slow happens: a port that is taken is
// told at once.
func (o options) listen() (net.Listener, error) {
	address := netip.AddrPortFrom(o.Bind, o.Port).String()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s (--bind-address, --secure-port): %w", address, err)
	}
	return l, nil
}

// hosts are the names that the serving certificate is for, besides the usual ones.
func (o options) hosts() []string {
	hosts := []string{o.Advertise.String(), o.ServiceCIDR.Masked().Addr().Next().String(), o.Name}
	if !o.Bind.IsUnspecified() {
		hosts = append(hosts, o.Bind.String())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// published is the endpoint of the Service default/kubernetes. A loopback address would
// lead every pod to itself: then there is none.
func (o options) published() netip.Addr {
	if o.Advertise.IsLoopback() {
		return netip.Addr{}
	}
	return o.Advertise
}

// port is the one that was opened, which --secure-port 0 left to the kernel.
func port(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

// url is how the administrator and the cluster reach the API.
func (o options) url(l net.Listener) string {
	return "https://" + net.JoinHostPort(o.Advertise.String(), strconv.Itoa(int(port(l))))
}

// unknownDisable names what --disable has that is neither a component nor a controller.
func (o options) unknownDisable(controllers []string) error {
	for _, name := range o.Disable {
		if !slices.Contains(components, name) && !slices.Contains(controllers, name) {
			return fmt.Errorf("--disable %s: one of %s", name, strings.Join(append(slices.Clone(components), controllers...), ", "))
		}
	}
	return nil
}
