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
	"net/netip"
	"os/exec"
	"slices"
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
	fragments map[string]fragment // guarded by mu; by Service: what the kernel has
	localnet  string              // guarded by mu; what the kernel's setting was; empty: not changed
}

// New returns a Writer; pods have addresses in cluster.
func New(cluster netip.Prefix, exec Exec, logger *slog.Logger) *Writer {
	if logger == nil {
		logger = slog.Default()
	}
	return &Writer{cluster: cluster, exec: exec, logger: logger, fragments: map[string]fragment{}}
}

// rule is one in a chain of the kernel's.
type rule struct{ table, chain, rule string }

// jumps are the entries into our chains from the kernel's.
var jumps = []rule{
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
	fragments := w.render(all)
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
	if err := w.restore(ctx, found, compose(fragments)); err != nil {
		return err
	}
	w.fragments = fragments
	if err := w.ensure(ctx, jumps); err != nil {
		return err
	}
	if err := w.ensure(ctx, localnetGuards); err != nil {
		return err
	}
	w.openLocalnet(ctx)
	return nil
}

// Update applies what changed.
func (w *Writer) Update(ctx context.Context, changed map[types.NamespacedName][]proxy.ServicePort) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := map[string]fragment{}, w.render(changed)
	for name := range changed {
		before[name.String()] = w.fragments[name.String()]
	}
	w.put(after)
	old, new := difference(before, after, w.fragments)
	err := w.restore(ctx, old, new)
	if err != nil {
		w.put(before)
	}
	return err
}

// put takes over fragments; one without chains is gone.
func (w *Writer) put(fragments map[string]fragment) {
	for name, f := range fragments {
		if w.fragments[name] = f; f.empty() {
			delete(w.fragments, name)
		}
	}
}

// render turns the ports of each Service into rules, leaving out those that are not supported.
func (w *Writer) render(changed map[types.NamespacedName][]proxy.ServicePort) map[string]fragment {
	fragments := make(map[string]fragment, len(changed))
	for name, ports := range changed {
		var can []proxy.ServicePort
		for _, p := range ports {
			if why := supported(p); why != "" {
				w.logger.Warn("service port is not served", "service", name.String(), "port", p.Name, "why", why)
				continue
			}
			can = append(can, p)
		}
		fragments[name.String()] = render(can, w.cluster)
	}
	return fragments
}

// restore brings the kernel from old to new.
func (w *Writer) restore(ctx context.Context, old, new tables) error {
	input := script("filter", old.filter, new.filter) + script("nat", old.nat, new.nat)
	if input == "" {
		return nil
	}
	_, err := w.exec(ctx, input, "iptables-restore", "-w", "--noflush")
	return err
}

func (w *Writer) ensure(ctx context.Context, rules []rule) error {
	for _, j := range rules {
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
	errs := []error{w.closeLocalnet(ctx)}
	for _, j := range slices.Concat(jumps, localnetGuards) {
		args := append([]string{"-w", "-t", j.table, "-D", j.chain}, strings.Fields(j.rule)...)
		_, err := w.exec(ctx, "", "iptables", args...)
		errs = append(errs, err)
	}
	errs = append(errs, w.restore(ctx, compose(w.fragments), tables{}))
	w.fragments = map[string]fragment{}
	return errors.Join(errs...)
}
