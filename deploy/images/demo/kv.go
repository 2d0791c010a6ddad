package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/miniorch/miniorch/deploy/images/demo/kv"
)

// runKV is the replicated key-value store: one replica, or a client of all of them.
func runKV(ctx context.Context, args arguments) error {
	verb := ""
	if len(args.positional) > 0 {
		verb, args.positional = args.positional[0], args.positional[1:]
	}
	if verb == "serve" {
		return kvServe(ctx, args)
	}
	client, err := kvClient(args)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case verb == "get" && len(args.positional) == 1:
		r, err := client.Get(ctx, args.positional[0])
		if err == nil && r.Version == (kv.Version{}) {
			err = errors.New("no such key")
		}
		if err == nil {
			fmt.Println(r.Value)
		}
		return err
	case verb == "put" && len(args.positional) == 2:
		version, err := client.Put(ctx, args.positional[0], args.positional[1])
		if err == nil {
			fmt.Println("stored as version", version.Counter)
		}
		return err
	case verb == "load" && len(args.positional) == 0:
		return kvLoad(ctx, client, args)
	}
	return errors.New("kv: want serve, get KEY, put KEY VALUE or load")
}

func kvServe(ctx context.Context, args arguments) error {
	store, err := kv.Open(args.text("data", "/data"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/kv", kv.NewHandler(store))
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return serveHTTP(ctx, args, mux, func() {}) // nothing to drain: clients go on with the others
}

func kvClient(args arguments) (*kv.Client, error) {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 16,
	}
	replicas, err := kv.Remotes(args.text("members", os.Getenv("KV_MEMBERS")), &http.Client{Transport: transport})
	if err != nil {
		return nil, fmt.Errorf("--members: %w", err)
	}
	return kv.NewClient(replicas), nil
}

func kvLoad(ctx context.Context, client *kv.Client, args arguments) error {
	writers, err := args.number("writers", 4)
	if err != nil {
		return err
	}
	keys, err := args.number("keys", 8)
	if err != nil {
		return err
	}
	interval, err := args.duration("interval", 10*time.Millisecond)
	if err != nil {
		return err
	}
	load := kv.Load{
		Client: client, Prefix: "load-" + rand.Text() + "-", Writers: max(1, writers), Keys: max(1, keys),
		Interval: interval, Every: time.Second, Out: os.Stdout,
	}
	return load.Run(ctx)
}
