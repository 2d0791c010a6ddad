package virtual

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	kubectl "k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/miniorch/miniorch/cli/rollout"
	"github.com/miniorch/miniorch/pkg/decision"
)

// step is one command of a transcript, with what is said before it, given to it and
// expected of it. In a file:
//
//	# words for the reader
//	command and arguments
//	input, as much as there is
//	----
//	output, up to an empty line
type step struct {
	words, command, input, output string
}

// parse reads a transcript.
func parse(text string) ([]step, error) {
	var steps []step
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		var s step
		var words, input, output []string
		for i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "#")) {
			words = append(words, lines[i])
			i++
		}
		s.words = strings.Join(words, "\n")
		if i == len(lines) {
			return append(steps, s), nil
		}
		s.command = lines[i]
		for i++; i < len(lines) && lines[i] != "----"; i++ {
			input = append(input, lines[i])
		}
		if i == len(lines) {
			return nil, fmt.Errorf("command %q has no ---- after it", s.command)
		}
		for i++; i < len(lines) && lines[i] != ""; i++ {
			output = append(output, lines[i])
		}
		s.input, s.output = strings.Join(input, "\n"), strings.Join(output, "\n")
		steps = append(steps, s)
	}
	return steps, nil
}

// print is the inverse of parse.
func print(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		if s.words != "" || b.Len() > 0 {
			b.WriteString(s.words + "\n")
		}
		if s.command == "" {
			continue
		}
		for _, part := range []string{s.command, s.input, "----", s.output} {
			if part != "" {
				b.WriteString(part + "\n")
			}
		}
	}
	return b.String()
}

// play executes a transcript anew and returns it with the output of this time.
func (c *cluster) play(steps []step) []step {
	played := slices.Clone(steps)
	for i, s := range played {
		if s.command != "" {
			played[i].output = c.do(strings.Fields(s.command), s.input)
		}
	}
	return played
}

// do executes one command. What it does not know itself, it asks kubectl.
func (c *cluster) do(args []string, input string) string {
	var out string
	var err error
	switch args[0] {
	case "tick":
		var d time.Duration
		if d, err = time.ParseDuration(args[1]); err == nil {
			c.tick(d)
		}
	case "boot", "kill":
		for _, node := range args[1:] {
			if args[0] == "boot" {
				err = c.boot(node)
			} else {
				err = c.kill(node)
			}
		}
		c.tick(100 * time.Millisecond)
	case "exit": // a pod's process ends: exit POD-PREFIX CODE
		var code int
		if code, err = strconv.Atoi(args[2]); err == nil {
			err = c.exit(args[1], code)
		}
		c.tick(100 * time.Millisecond)
	case "measure": // what an external metric is from now on: measure NAME VALUE
		c.gauges.Store(args[1], args[2])
	case "decisions":
		out = c.printDecisions(args[1:])
	case "history":
		out = c.history()
	case "apply":
		if err = os.WriteFile(c.manifest, []byte(input), 0o600); err == nil {
			out = c.kubectl("apply", "-f", c.manifest)
		}
	default:
		out = c.kubectl(args...)
	}
	if err != nil {
		out = "error: " + err.Error()
	}
	return clean(out)
}

// clean makes output fit for a file: no trailing spaces and no empty lines. Nor the same
// line twice in a row: kubectl's watches may or may not show what a list has shown before.
func clean(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(slices.Compact(lines), "\n")
}

// kubectl runs the real one, in this process and this time.
func (c *cluster) kubectl(args ...string) string {
	var out bytes.Buffer
	flags := genericclioptions.NewConfigFlags(false)
	flags.WrapConfigFn = func(*rest.Config) *rest.Config {
		return &rest.Config{Host: "http://cluster", Transport: wire{c.server.Handler(), c.chance, adminToken}, QPS: -1}
	}
	flags.CacheDir = &c.cache
	root := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
		Arguments: append([]string{"kubectl"}, args...), ConfigFlags: flags,
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out},
	})
	if verb, _, err := root.Find([]string{"rollout"}); err == nil {
		verb.AddCommand(rollout.NewCommands(flags, genericiooptions.IOStreams{Out: &out, ErrOut: &out})...) // miniorchctl's own
	}
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	func() {
		defer cmdutil.DefaultBehaviorOnFatal()
		cmdutil.BehaviorOnFatal(func(message string, code int) { panic(fatal(message)) })
		defer func() {
			if said := recover(); said != nil {
				message, ok := said.(fatal)
				if !ok {
					panic(said)
				}
				fmt.Fprintln(&out, string(message))
			}
		}()
		if err := root.Execute(); err != nil {
			fmt.Fprintln(&out, err)
		}
	}()
	return strings.ReplaceAll(out.String(), c.manifest, "manifest.yaml")
}

// fatal is why kubectl would end its process.
type fatal string

// decided is the log of decisions by time: those of one instant were made in any order.
func (c *cluster) decided() []decision.Record {
	records := c.decisions.Since(0)
	slices.SortStableFunc(records, func(a, b decision.Record) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Component, b.Component),
			strings.Compare(a.Object.Namespace, b.Object.Namespace), strings.Compare(a.Object.Name, b.Object.Name))
	})
	return records
}

// printDecisions lists decision records of components whose names begin with one of
// prefixes, or all.
func (c *cluster) printDecisions(prefixes []string) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "TIME\tCOMPONENT\tOBJECT\tPLAN")
	for _, r := range c.decided() {
		if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.Component, p) }) {
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Time.Sub(c.began).Truncate(time.Second), r.Component, object(r), outcome(r))
	}
	_ = w.Flush()
	return out.String()
}

func object(r decision.Record) string {
	return strings.TrimSpace(r.Object.Namespace + " " + r.Object.Resource + "/" + r.Object.Name)
}

func outcome(r decision.Record) string {
	plan := strings.Join(strings.Fields(r.Plan), " ")
	if r.Error != "" {
		plan += " → " + r.Error
	}
	return plan
}

// history is all that was written and decided, to the nanosecond.
func (c *cluster) history() string {
	c.disk.mu.Lock()
	out := strings.Join(c.disk.writes, "\n") + "\n"
	c.disk.mu.Unlock()
	for _, r := range c.decided() {
		out += fmt.Sprintln(r.Time.Sub(c.began), r.Took, r.Component, object(r), r.Object.UID, outcome(r))
	}
	return out
}
