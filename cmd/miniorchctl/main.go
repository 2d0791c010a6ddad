// Command miniorchctl is the command line of miniorch clusters.
package main

import (
	"context"
	"os"

	"github.com/miniorch/miniorch/cli"
)

func main() {
	if err := cli.NewCommand(os.Args).ExecuteContext(context.Background()); err != nil {
		os.Exit(1)
	}
}
