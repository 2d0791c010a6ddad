// Command demo is the one program inside the miniorch/demo image: a web server that says
// which pod answered, a client that counts answers, a DNS look-up, a sleeper, a crasher, and a
// replicated key-value store with its clients.
// Examples, tests and labs need no other program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `demo: what examples, tests and labs run inside a container

  demo serve [--listen :8080] [--udp :8081] [--start-delay 0s] [--drain 2s]
        HTTP: / says who answered, /healthz, /readyz, /sick (from then on /readyz says no), /env, /exit?code=N, /echo,
        /burn?cpu=10ms; UDP: says who answered
  demo get URL [--count 1] [--interval 0s] [--timeout 2s] [--ca FILE]
        requests URL count times, each on a new connection; prints each answer, or a
        summary when count > 1; exits 1 when a request failed
  demo udp HOST:PORT [--count 1] [--timeout 2s] [--from PORT]
        sends datagrams and prints who answered
  demo lookup NAME [--type A|SRV|PTR|CNAME] [--timeout 5s]
        asks the resolver of /etc/resolv.conf
  demo sleep [DURATION]      sleeps (default: until SIGTERM), then exits 0
  demo crash [--after 1s] [--code 1]
        writes why to /dev/termination-log and exits with the code
  demo lines [--count 10] [--interval 100ms] [--size 0]
        prints numbered lines, then exits
  demo stress [--memory 64Mi] [--cpu 1s]
        allocates memory and burns CPU time, then sleeps
  demo kv serve --data DIR [--listen :8080]
        one replica of a key-value store
  demo kv get KEY | put KEY VALUE | load [--writers 4] [--keys 8] [--interval 10ms]
        a client of its --members HOST:PORT,… (default: $KV_MEMBERS); load writes and reads
        until SIGTERM and exits 1 if a write that was acknowledged is not there
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"serve"}
	}
	if args[0] == "help" || args[0] == "--help" {
		fmt.Print(usage)
		return nil
	}
	commands := map[string]func(context.Context, arguments) error{
		"serve": serve, "get": get, "udp": udp, "lookup": lookup, "sleep": sleep, "crash": crash, "lines": lines, "stress": stress, "kv": runKV,
	}
	command, ok := commands[args[0]]
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("unknown command %q, one of: %s", args[0], strings.Join(keys(commands), ", "))
	}
	parsed, err := parse(args[1:])
	if err != nil {
		return err
	}
	return command(ctx, parsed)
}

// arguments are "--name value" or "--name=value" flags, and what stands beside them.
type arguments struct {
	flags      map[string]string
	positional []string
}

func parse(args []string) (arguments, error) {
	a := arguments{flags: map[string]string{}}
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		if !isFlag {
			a.positional = append(a.positional, args[i])
			continue
		}
		name, value, hasValue := strings.Cut(name, "=")
		if !hasValue {
			if i++; i == len(args) {
				return a, fmt.Errorf("--%s needs a value", name)
			}
			value = args[i]
		}
		a.flags[name] = value
	}
	return a, nil
}

func (a arguments) text(name, fallback string) string {
	if v, ok := a.flags[name]; ok {
		return v
	}
	return fallback
}

func (a arguments) number(name string, fallback int) (int, error) {
	v, ok := a.flags[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("--%s: %q is not a number", name, v)
	}
	return n, nil
}

func (a arguments) duration(name string, fallback time.Duration) (time.Duration, error) {
	v, ok := a.flags[name]
	if !ok {
		return fallback, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, fmt.Errorf("--%s: %q is not a duration such as 500ms or 2s", name, v)
	}
	return d, nil
}

func (a arguments) argument(what string) (string, error) {
	if len(a.positional) != 1 {
		return "", fmt.Errorf("exactly one %s is needed, got %d", what, len(a.positional))
	}
	return a.positional[0], nil
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// pause waits for d or until ctx ends; it reports whether the whole time passed.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
