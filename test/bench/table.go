package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// row is one line of the result.
type row struct {
	what     string
	measured string
	limit    string // what nothing could be faster than, or a peer, in the same run
	target   string // of the design
	upstream string // Kubernetes v1.36 on the same kind of machine, measured earlier
}

var header = row{"what", "miniorch", "limit or peer, same run", "target", "Kubernetes 1.36"}

func (r row) cells() []string { return []string{r.what, r.measured, r.limit, r.target, r.upstream} }

// printTable writes the rows as Markdown that can also be read as it is.
func printTable(w io.Writer, rows []row) {
	widths := make([]int, len(header.cells()))
	for _, r := range append([]row{header}, rows...) {
		for i, cell := range r.cells() {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, "|")
	}
	line(header.cells())
	for _, width := range widths {
		fmt.Fprintf(w, "|%s", strings.Repeat("-", width+2))
	}
	fmt.Fprintln(w, "|")
	for _, r := range rows {
		line(r.cells())
	}
}
