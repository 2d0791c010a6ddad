package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// get requests a URL, each time on a new connection so that a Service may choose anew.
func get(ctx context.Context, args arguments) error {
	url, err := args.argument("URL")
	if err != nil {
		return err
	}
	timeout, err := args.duration("timeout", 2*time.Second)
	if err != nil {
		return err
	}
	trust, err := trusted(args.text("ca", ""))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}}
	return repeat(ctx, args, func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
		}
		return strings.TrimSpace(string(body)), nil
	})
}

// trusted accepts servers whose certificate is from the authority in a PEM file.
func trusted(path string) (*tls.Config, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca %s: no certificate in it", path)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// udp sends datagrams, each from a new port unless one is named: then all are of one flow, for
// whoever tracks flows.
func udp(ctx context.Context, args arguments) error {
	address, err := args.argument("HOST:PORT")
	if err != nil {
		return err
	}
	timeout, err := args.duration("timeout", 2*time.Second)
	if err != nil {
		return err
	}
	from, err := args.number("from", 0)
	if err != nil {
		return err
	}
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{Port: from}}
	return repeat(ctx, args, func(ctx context.Context) (string, error) {
		conn, err := dialer.DialContext(ctx, "udp", address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return "", err
		}
		if _, err := conn.Write([]byte("who?")); err != nil {
			return "", err
		}
		buf := make([]byte, 2048)
		n, err := conn.Read(buf)
		return strings.TrimSpace(string(buf[:n])), err
	})
}

// repeat calls ask --count times and prints the answer, or how often each answerer was met.
func repeat(ctx context.Context, args arguments, ask func(context.Context) (string, error)) error {
	count, err := args.number("count", 1)
	if err != nil {
		return err
	}
	interval, err := args.duration("interval", 0)
	if err != nil {
		return err
	}
	answers, failures := map[string]int{}, 0
	for i := range count {
		if i > 0 && !pause(ctx, interval) {
			break
		}
		answer, err := ask(ctx)
		if err != nil {
			failures++
			fmt.Fprintln(os.Stderr, "failed:", err)
			continue
		}
		if count == 1 {
			fmt.Println(answer)
		}
		who, _, _ := strings.Cut(answer, ", to ")
		answers[who]++
	}
	if count > 1 {
		for _, who := range keys(answers) {
			fmt.Printf("%6d  %s\n", answers[who], who)
		}
		fmt.Printf("%6d  failed\n", failures)
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d requests failed", failures, count)
	}
	return nil
}

func lookup(ctx context.Context, args arguments) error {
	name, err := args.argument("NAME")
	if err != nil {
		return err
	}
	timeout, err := args.duration("timeout", 5*time.Second)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := resolve(ctx, name, strings.ToUpper(args.text("type", "A")))
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(found, "\n"))
	return nil
}

func resolve(ctx context.Context, name, kind string) ([]string, error) {
	resolver := &net.Resolver{PreferGo: true}
	switch kind {
	case "A":
		return resolver.LookupHost(ctx, name)
	case "PTR":
		return resolver.LookupAddr(ctx, name)
	case "CNAME":
		cname, err := resolver.LookupCNAME(ctx, name)
		return []string{cname}, err
	case "SRV":
		_, records, err := resolver.LookupSRV(ctx, "", "", name)
		var found []string
		for _, r := range records {
			found = append(found, fmt.Sprintf("%s:%d", r.Target, r.Port))
		}
		return found, err
	}
	return nil, fmt.Errorf("--type %s: one of A, SRV, PTR, CNAME", kind)
}

func sleep(ctx context.Context, args arguments) error {
	if len(args.positional) == 0 {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(args.positional[0])
	if err != nil {
		return err
	}
	pause(ctx, d)
	return nil
}

func crash(ctx context.Context, args arguments) error {
	after, err := args.duration("after", time.Second)
	if err != nil {
		return err
	}
	code, err := args.number("code", 1)
	if err != nil {
		return err
	}
	pause(ctx, after)
	reason := fmt.Sprintf("crashing with code %d, as asked\n", code)
	fmt.Fprint(os.Stderr, reason)
	_ = os.WriteFile("/dev/termination-log", []byte(reason), 0o644) // best effort: the file is not there outside a cluster
	os.Exit(code)
	return nil
}

func lines(ctx context.Context, args arguments) error {
	count, err := args.number("count", 10)
	if err != nil {
		return err
	}
	interval, err := args.duration("interval", 100*time.Millisecond)
	if err != nil {
		return err
	}
	size, err := args.number("size", 0)
	if err != nil {
		return err
	}
	padding := strings.Repeat("x", size)
	for i := range count {
		if i > 0 && !pause(ctx, interval) {
			return nil
		}
		fmt.Printf("line %d%s\n", i, padding)
	}
	return nil
}

// burn keeps a processor busy.
func burn(ctx context.Context, long time.Duration) {
	for end := time.Now().Add(long); time.Now().Before(end) && ctx.Err() == nil; {
	}
}

func stress(ctx context.Context, args arguments) error {
	memory := args.text("memory", "0Mi")
	var mebibytes int
	if _, err := fmt.Sscanf(memory, "%dMi", &mebibytes); err != nil {
		return fmt.Errorf("--memory: %q is not a number of Mi", memory)
	}
	long, err := args.duration("cpu", 0)
	if err != nil {
		return err
	}
	block := make([]byte, mebibytes<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	fmt.Printf("holding %d Mi\n", mebibytes)
	burn(ctx, long)
	<-ctx.Done()
	fmt.Printf("released %d Mi\n", len(block)>>20)
	return nil
}
