// Command miniorchctl is the command line of miniorch clusters.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/miniorch/miniorch/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := cli.NewCommand(os.Args).ExecuteContext(ctx); err != nil {
		os.Exit(1)
	}
}
