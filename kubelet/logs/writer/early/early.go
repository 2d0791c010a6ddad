// Package early runs the log writer, or runc by way of it, before the rest of a large binary is initialized.
// Import it for its effect. Go initializes packages as soon as those they import are, in
// the order of their paths; since this one imports next to nothing, it comes before most
// of what an agent consists of, and a log writer costs a millisecond instead of twenty
// and a few megabytes instead of tens.
package early

import (
	"os"
	"path/filepath"

	"github.com/miniorch/miniorch/kubelet/logs/writer"
)

func init() {
	if len(os.Args) > 0 && filepath.Base(os.Args[0]) == writer.RuncName {
		os.Exit(writer.Runc(os.Args))
	}
	if len(os.Args) > 1 && os.Args[1] == writer.Command {
		os.Exit(writer.Main(os.Args[2:]))
	}
}
