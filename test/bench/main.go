// Command bench measures what the README says of speed and size: each number beside its
// limit or a peer, in the same run on the same machine. It is not a test: it fails only when
// something does not work. It leaves nothing behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	bin        string // directory with the programs and images
	dir        string // of this run, removed at its end
	kubeconfig string // of a foreign API server; empty: our own
	profiles   string // directory for CPU profiles of the master; empty: none
	rows       []row
}

// section is one part of a run.
type section struct {
	name string
	what string
	run  func(*bench, context.Context) error
}

var sections = []section{
	{"cold", "cold start of the control plane, memory when idle", (*bench).coldStart},
	{"api", "creates and lists over HTTP, beside etcd alone", (*bench).ownAPI},
	{"memory", "what objects cost in memory", (*bench).weigh},
	{"watchers", "thousands of watchers", (*bench).watchers},
	{"hollow", "scheduling onto 1,000 simulated nodes, and quiet with 10,000 pods", (*bench).hollow},
	{"shapes", "scheduling in many shapes, at 500 and 5,000 nodes and through the API", (*bench).shapes},
	{"workloads", "Deployments, StatefulSets and Jobs on simulated nodes, collection of 10,000 objects", (*bench).workloads},
	{"pods", "real pods, beside containerd alone", (*bench).realPods},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir := os.Getenv(etcdAloneVariable); dir != "" {
		exit(etcdAlone(ctx, dir))
	}
	var b bench
	flag.StringVar(&b.bin, "bin", "bin", "directory with miniorch-master, miniorch-node and images/")
	flag.StringVar(&b.kubeconfig, "kubeconfig", "", "measure only the API, of the server that this file leads to: any Kubernetes")
	flag.StringVar(&b.profiles, "profiles", "", "directory to write CPU profiles of the master to")
	only := flag.String("only", "", "comma-separated sections: "+names(sections))
	verbose := flag.Bool("v", false, "show warnings of the parts that run in this process")
	flag.Parse()
	if !*verbose {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	exit(b.run(ctx, *only))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func names(all []section) string {
	var out []string
	for _, s := range all {
		out = append(out, s.name)
	}
	return strings.Join(out, ",")
}

// run measures and prints. What was measured before a failure is printed all the same.
func (b *bench) run(ctx context.Context, only string) (err error) {
	todo, err := choose(only)
	if err != nil {
		return err
	}
	for _, dir := range []*string{&b.bin, &b.profiles} {
		if *dir == "" {
			continue
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	// Not below $TMPDIR: sockets of containerd need a short path.
	if b.dir, err = os.MkdirTemp("/tmp", "mobench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer func() { printTable(os.Stdout, b.rows) }()
	if b.kubeconfig != "" {
		return b.foreignAPI(ctx)
	}
	for _, s := range todo {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "measuring %s …\n", s.what)
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "  done in %.0f s\n", time.Since(began).Seconds())
	}
	return nil
}

func choose(only string) ([]section, error) {
	if only == "" {
		return sections, nil
	}
	var out []section
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: one of %s", name, names(sections))
		}
		out = append(out, sections[i])
	}
	return out, nil
}

func (b *bench) add(r row) { b.rows = append(b.rows, r) }
