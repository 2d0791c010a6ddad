// Package cli is miniorchctl: every kubectl verb, as kubectl's own code has it, and the
// verbs of our own beside them.
package cli

import (
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"

	"github.com/miniorch/miniorch/cli/cluster"
	"github.com/miniorch/miniorch/cli/rollout"
	"github.com/miniorch/miniorch/cli/why"
)

const name = "miniorchctl"

// NewCommand returns the root command for the given arguments (os.Args).
func NewCommand(args []string) *cobra.Command {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag()
	root := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
		PluginHandler: kubectl.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     args,
		ConfigFlags:   flags,
		IOStreams:     streams,
	})
	root.Use = name
	root.Short = "miniorchctl controls miniorch clusters"
	root.Long = "miniorchctl controls miniorch clusters: all of kubectl's verbs, `cluster`, which makes a cluster on this machine, and `why`, which asks the scheduler about a pod."
	root.AddCommand(own(cluster.NewCommand()), own(why.NewCommand(flags, streams)))
	if verb, _, err := root.Find([]string{"rollout"}); err == nil && verb != root {
		for _, sub := range rollout.NewCommands(flags, streams) {
			verb.AddCommand(own(sub))
		}
	}
	rename(root)
	return root
}

// own keeps kubectl's error handling off our commands: they return errors, and end in order
// when they are interrupted. kubectl's own verbs leave signals to the system.
func own(cmd *cobra.Command) *cobra.Command {
	cmd.SilenceUsage, cmd.SilenceErrors = true, false
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cmd.SetContext(ctx)
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		own(sub)
	}
	return cmd
}

// rename makes help and examples say what the user types.
func rename(cmd *cobra.Command) {
	replace := strings.NewReplacer("kubectl ", name+" ")
	cmd.Long, cmd.Example = replace.Replace(cmd.Long), replace.Replace(cmd.Example)
	for _, sub := range cmd.Commands() {
		rename(sub)
	}
}
