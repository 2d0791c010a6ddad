package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

// NewCommand returns `cluster` with its verbs.
func NewCommand() *cobra.Command {
	var c Config
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Make, look at, break and remove a cluster on this machine",
		Long: `Make, look at, break and remove a cluster on this machine.

Each host of the cluster is a network namespace on one bridge and runs the same
programs as a real machine: miniorch-master or miniorch-node. It needs root.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.Name, "name", "miniorch", "name of the cluster")
	flags.StringVar(&c.StateRoot, "state-dir", "/var/lib/miniorch", "where clusters keep their data")
	cmd.AddCommand(newUp(&c), newDown(&c), newStatus(&c), newKill(&c), newStart(&c), newRemove(&c))
	return cmd
}

func newUp(c *Config) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the cluster, or what is missing of it",
		Example: `  # one master, two nodes, our own images on every node
  miniorchctl cluster up --nodes 2 --image-dir bin/images
  # a third node joins
  miniorchctl cluster up --nodes 3 --image-dir bin/images`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := completePaths(c); err != nil {
				return err
			}
			_, err := Up(cmd.Context(), *c, NewProgress(cmd.ErrOrStderr()))
			return err
		},
	}
	cmd.Flags().IntVar(&c.Masters, "masters", 1, "number of masters (only 1 so far)")
	cmd.Flags().IntVar(&c.Nodes, "nodes", 2, "number of nodes")
	cmd.Flags().StringVar(&c.ImageDir, "image-dir", "", "directory with image tarballs that every node imports")
	cmd.Flags().StringVar(&c.BinDir, "bin-dir", "", "where miniorch-master and miniorch-node are (default: beside this program)")
	cmd.Flags().StringArrayVar(&c.MasterFlags, "master-flag", nil, "further flag for miniorch-master, such as --master-flag=--verbose")
	cmd.Flags().StringArrayVar(&c.NodeFlags, "node-flag", nil, "further flag for miniorch-node")
	cmd.Flags().StringVar(&c.Kubeconfig, "kubeconfig", "", "kubeconfig to merge the cluster's context into (default: $KUBECONFIG or ~/.kube/config)")
	return cmd
}

// completePaths makes paths absolute: the hosts' programs start elsewhere.
func completePaths(c *Config) error {
	if c.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.BinDir = filepath.Dir(self)
	}
	if c.Kubeconfig == "" {
		c.Kubeconfig = clientcmd.NewDefaultPathOptions().GetDefaultFilename()
	}
	for _, path := range []*string{&c.BinDir, &c.ImageDir, &c.Kubeconfig, &c.StateRoot} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	if c.ImageDir != "" {
		if _, err := os.Stat(c.ImageDir); err != nil {
			return fmt.Errorf("--image-dir: %w (make it with `make images`)", err)
		}
	}
	return nil
}

func newDown(c *Config) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the cluster and everything that it left on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Down(cmd.Context(), *c, keep, NewProgress(cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-data", false, "keep the hosts' data: the next up goes on with it")
	return cmd
}

func newStatus(c *Config) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print each host and whether it runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := Find(*c)
			if err != nil {
				return err
			}
			return cl.Status(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func newKill(c *Config) *cobra.Command {
	var agentOnly bool
	cmd := &cobra.Command{
		Use:   "kill HOST",
		Short: "End a host as a power cut would",
		Example: `  # the node is gone, with all its containers
  miniorchctl cluster kill node-2
  # only the agent dies: its containers go on
  miniorchctl cluster kill node-2 --agent-only`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cl, err := Find(*c)
			if err != nil {
				return err
			}
			return cl.Kill(args[0], agentOnly)
		},
	}
	cmd.Flags().BoolVar(&agentOnly, "agent-only", false, "kill the host's own program only")
	return cmd
}

func newStart(c *Config) *cobra.Command {
	return &cobra.Command{
		Use:   "start HOST",
		Short: "Start a host again after kill",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := Find(*c)
			if err != nil {
				return err
			}
			return cl.Start(cmd.Context(), args[0])
		},
	}
}

func newRemove(c *Config) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NODE",
		Short: "Take the last node out of the cluster, with everything on it",
		Long: `Take the last node out of the cluster, with everything on it: its processes end, its Node object
and its data go. Nodes leave in the opposite order of joining: node-3 before node-2.`,
		Example: `  # first let its pods go in peace
  miniorchctl drain node-3 --ignore-daemonsets --delete-emptydir-data
  miniorchctl cluster remove node-3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := Remove(cmd.Context(), *c, args[0], NewProgress(cmd.ErrOrStderr()))
			return err
		},
	}
}
