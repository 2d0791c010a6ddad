package cluster

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// host finds a host by name.
func (cl *Cluster) host(name string) (Host, error) {
	var names []string
	for _, h := range cl.Plan.Hosts {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return Host{}, fmt.Errorf("there is no host %q, one of: %s", name, strings.Join(names, ", "))
}

// Kill ends a host as a power cut would: SIGKILL for all its processes, containers too.
// With agentOnly only the host's own program dies: on a node containers and containerd live on.
func (cl *Cluster) Kill(name string, agentOnly bool) error {
	h, err := cl.host(name)
	if err != nil {
		return err
	}
	if agentOnly {
		pids, err := agents(h)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if isAgent(pid) {
				_, err := signalAll([]int{pid}, unix.SIGKILL, time.Now().Add(patience))
				return err
			}
		}
		return fmt.Errorf("%s does not run", name)
	}
	return stopHost(h)
}

// stopHost ends all processes of a host.
func stopHost(h Host) error {
	left, err := signal(h.Cgroup, unix.SIGKILL, 2*patience)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d processes of %s do not end", left, h.Name)
	}
	return err
}

// Start starts a host again after Kill.
func (cl *Cluster) Start(ctx context.Context, name string) error {
	h, err := cl.host(name)
	if err != nil {
		return err
	}
	if err := cl.ensureRunning(h); err != nil {
		return err
	}
	if h.Role == Master {
		return cl.waitForMaster(ctx, h)
	}
	return nil
}

// Status prints each host and what runs on it.
func (cl *Cluster) Status(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "cluster %s at %s (pods %s, services %s)\n", cl.Plan.Name, cl.Plan.Server(), cl.Plan.Pods, cl.Plan.Services)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "HOST\tROLE\tIP\tSTATE\tPROCESSES\tLOG")
	for _, h := range cl.Plan.Hosts {
		all, err := processes(h.Cgroup)
		if err != nil {
			return err
		}
		running, err := agentRunning(h)
		if err != nil {
			return err
		}
		state := "stopped"
		if running {
			state = "running"
		}
		if running && h.Role == Master {
			if err := cl.ready(ctx, h); err != nil {
				state = "not ready"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", h.Name, h.Role, h.IP, state, len(all), h.Log)
	}
	return w.Flush()
}
