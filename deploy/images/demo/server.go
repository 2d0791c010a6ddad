package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serve answers until SIGTERM, then goes on answering for the drain time while /readyz
// says no: rules that still point here are being rewritten meanwhile, and no request is lost.
func serve(ctx context.Context, args arguments) error {
	delay, err := args.duration("start-delay", 0)
	if err != nil {
		return err
	}
	drain, err := args.duration("drain", 2*time.Second)
	if err != nil {
		return err
	}
	if !pause(ctx, delay) {
		return nil
	}
	var unready atomic.Pointer[string] // why
	if address := args.text("udp", ""); address != "" {
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		go answerDatagrams(conn)
	}
	return serveHTTP(ctx, args, pages(&unready), func() {
		unready.Store(new("draining"))
		fmt.Println("draining for", drain)
		time.Sleep(drain)
	})
}

// serveHTTP serves until ctx ends and drain returns, and lets requests that it has end.
func serveHTTP(ctx context.Context, args arguments, handler http.Handler, drain func()) error {
	server := &http.Server{Addr: args.text("listen", ":8080"), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		return err
	}
	fmt.Println("serving on", listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain()
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func pages(unready *atomic.Pointer[string]) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, to %s\n", whoAmI(), r.RemoteAddr)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := unready.Load(); why != nil {
			http.Error(w, *why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) {
		unready.CompareAndSwap(nil, new("sick"))
		fmt.Fprintln(w, "not ready any more")
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		env := os.Environ()
		sort.Strings(env)
		fmt.Fprintln(w, strings.Join(env, "\n"))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, http.MaxBytesReader(w, r.Body, 1<<20))
	})
	mux.HandleFunc("/burn", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.URL.Query().Get("cpu"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		burn(r.Context(), d)
		fmt.Fprintf(w, "%s, to %s\n", whoAmI(), r.RemoteAddr)
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Query().Get("code"))
		if err != nil {
			code = 1
		}
		os.Exit(code)
	})
	return mux
}

// whoAmI names this pod as the downward API told it, or by its host name.
func whoAmI() string {
	host, _ := os.Hostname()
	line := "demo " + envOr("DEMO_VERSION", "v1") + " in pod " + envOr("POD_NAME", host)
	if node := os.Getenv("NODE_NAME"); node != "" {
		line += " on " + node
	}
	return line
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func answerDatagrams(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo([]byte(whoAmI()+"\n"), from)
	}
}
