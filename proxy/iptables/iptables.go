// Package iptables is the proxy's back end for iptables: it renders Services into chains
// and applies differences through iptables-restore, atomically per table, touching only
// chains that changed.
package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os/exec"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/proxy"
)

// Exec runs a program with input and returns its standard output. It is the seam to the
// operating system.
type Exec func(ctx context.Context, input, program string, args ...string) (string, error)

// Run executes the real programs.
func Run(ctx context.Context, input, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// Writer is a proxy.RuleWriter.
type Writer struct {
	cluster netip.Prefix
	exec    Exec
	logger  *slog.Logger

	mu        sync.Mutex
	fragments map[string]fragment // guarded by mu; by Service
	applied   tables              // guarded by mu; what the kernel has
}

// New returns a Writer; pods have addresses in cluster.
func New(cluster netip.Prefix, exec Exec, logger *slog.Logger) *Writer {
	if logger == nil {
		logger = slog.Default()
	}
	return &Writer{cluster: cluster, exec: exec, logger: logger, fragments: map[string]fragment{}}
}

// jumps are the entries into our chains from the kernel's, by table and chain.
var jumps = []struct{ table, chain, rule string }{
	{"nat", "PREROUTING", "-m comment --comment miniorch-services -j " + servicesChain},
	{"nat", "OUTPUT", "-m comment --comment miniorch-services -j " + servicesChain},
	{"nat", "POSTROUTING", "-m comment --comment miniorch-masquerade -j " + masqChain},
	{"filter", "INPUT", "-m conntrack --ctstate NEW -m comment --comment miniorch-refuse -j " + refuseChain},
	{"filter", "FORWARD", "-m conntrack --ctstate NEW -m comment --comment miniorch-refuse -j " + refuseChain},
	{"filter", "OUTPUT", "-m conntrack --ctstate NEW -m comment --comment miniorch-refuse -j " + refuseChain},
}

// Reset makes the kernel's rules exactly those of all, whatever an earlier process left.
func (w *Writer) Reset(ctx context.Context, all map[types.NamespacedName][]proxy.ServicePort) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fragments = map[string]fragment{}
	w.put(all)
	found := tables{nat: Chains{}, filter: Chains{}}
	for table, chains := range map[string]Chains{"nat": found.nat, "filter": found.filter} {
		out, err := w.exec(ctx, "", "iptables-save", "-t", table)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if name, ok := strings.CutPrefix(line, ":"); ok {
				if name, _, _ = strings.Cut(name, " "); known(name) {
					chains[name] = []string{"as it was found"} // differs from any rule: rewritten
				}
			}
		}
	}
	if err := w.restore(ctx, found); err != nil {
		return err
	}
	return w.ensureJumps(ctx)
}

// Update applies what changed.
func (w *Writer) Update(ctx context.Context, changed map[types.NamespacedName][]proxy.ServicePort) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := maps.Clone(w.fragments)
	w.put(changed)
	err := w.restore(ctx, w.applied)
	if err != nil {
		w.fragments = before
	}
	return err
}

func (w *Writer) put(changed map[types.NamespacedName][]proxy.ServicePort) {
	for name, ports := range changed {
		var can []proxy.ServicePort
		for _, p := range ports {
			if why := supported(p); why != "" {
				w.logger.Warn("service port is not served", "service", name.String(), "port", p.Name, "why", why)
				continue
			}
			can = append(can, p)
		}
		if len(can) == 0 {
			delete(w.fragments, name.String())
			continue
		}
		w.fragments[name.String()] = render(can, w.cluster)
	}
}

// restore brings the kernel from old to what the fragments say.
func (w *Writer) restore(ctx context.Context, old tables) error {
	next := compose(w.fragments)
	input := script("filter", old.filter, next.filter) + script("nat", old.nat, next.nat)
	if input == "" {
		return nil
	}
	if _, err := w.exec(ctx, input, "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	w.applied = next
	return nil
}

func (w *Writer) ensureJumps(ctx context.Context) error {
	for _, j := range jumps {
		args := append([]string{"-w", "-t", j.table, "-C", j.chain}, strings.Fields(j.rule)...)
		if _, err := w.exec(ctx, "", "iptables", args...); err == nil {
			continue
		}
		args[3] = "-I" // before what other programs appended: a Service is not theirs to judge
		if _, err := w.exec(ctx, "", "iptables", args...); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes all of our rules out of the kernel.
func (w *Writer) Remove(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, j := range jumps {
		args := append([]string{"-w", "-t", j.table, "-D", j.chain}, strings.Fields(j.rule)...)
		_, err := w.exec(ctx, "", "iptables", args...)
		errs = append(errs, err)
	}
	input := script("filter", w.applied.filter, nil) + script("nat", w.applied.nat, nil)
	if input != "" {
		_, err := w.exec(ctx, input, "iptables-restore", "-w", "--noflush")
		errs = append(errs, err)
	}
	w.applied, w.fragments = tables{}, map[string]fragment{}
	return errors.Join(errs...)
}
