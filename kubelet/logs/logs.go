// Package logs owns the logs of containers: who writes them (package writer, a process
// of its own per container), and reading them: the last lines, since when, following
// through rotations to the end. Files are in the CRI format, one entry per line:
//
//	2026-01-02T15:04:05.000000000Z stdout F the line
//
// It refuses to know containers: a log is a path.
package logs

import "github.com/miniorch/miniorch/kubelet/logs/writer"

// WriterCommand is the hidden first argument by which a binary becomes a log writer.
const WriterCommand = writer.Command

// WriterArgument encodes the argument that follows WriterCommand.
func WriterArgument(o writer.Options) string { return writer.Argument(o) }

// WriterMain is the log writer; a binary that is started with WriterCommand passes the
// arguments after it and exits with the result. Importing logs/writer/early does so, and
// sooner than main could.
func WriterMain(args []string) int { return writer.Main(args) }
