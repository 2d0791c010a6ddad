package kv

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// patience is how long a replica may take for an answer. The majority is not kept waiting by the others.
const patience = time.Second

// Replica is one copy of the store, as a client reaches it.
type Replica interface {
	Read(ctx context.Context, key string) (Record, error)
	Write(ctx context.Context, key string, r Record) error
}

// Client reads and writes by majorities of the replicas, which have to be all members, always the same.
type Client struct {
	replicas []Replica
	asking   sync.WaitGroup
}

// NewClient reads and writes these replicas.
func NewClient(replicas []Replica) *Client { return &Client{replicas: replicas} }

// Close waits for the replicas that are still being asked: for their patience at most.
func (c *Client) Close() { c.asking.Wait() }

// Get reads a key. A zero Version says that it was never written.
func (c *Client) Get(ctx context.Context, key string) (Record, error) {
	latest, unanimous, err := c.latest(ctx, key)
	if err != nil || unanimous {
		return latest, err
	}
	// Not all have it: perhaps its writer is still at work, or died. Now that somebody has seen it, it has to stay.
	return latest, c.store(ctx, key, latest)
}

// Put writes a key, and returns when a majority has it on disk. After an error it may have happened or not.
func (c *Client) Put(ctx context.Context, key, value string) (Version, error) {
	latest, _, err := c.latest(ctx, key)
	if err != nil {
		return Version{}, err
	}
	r := Record{Version: Version{Counter: latest.Version.Counter + 1, Writer: rand.Text()}, Value: value}
	return r.Version, c.store(ctx, key, r)
}

func (c *Client) latest(ctx context.Context, key string) (Record, bool, error) {
	records, err := majority(ctx, c, func(ctx context.Context, r Replica) (Record, error) { return r.Read(ctx, key) })
	if err != nil {
		return Record{}, false, fmt.Errorf("reading %q: %w", key, err)
	}
	latest, unanimous := newest(records)
	return latest, unanimous, nil
}

func (c *Client) store(ctx context.Context, key string, record Record) error {
	_, err := majority(ctx, c, func(ctx context.Context, r Replica) (any, error) { return nil, r.Write(ctx, key, record) })
	if err != nil {
		return fmt.Errorf("writing %q: %w", key, err)
	}
	return nil
}

// majority asks all replicas at once and returns the answers of the first that are more than half.
// The others go on for their patience: the more have a write the better.
func majority[T any](ctx context.Context, c *Client, ask func(context.Context, Replica) (T, error)) ([]T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, len(c.replicas))
	for _, r := range c.replicas {
		c.asking.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			value, err := ask(ctx, r)
			answers <- answer{value, err}
		})
	}
	var values []T
	var errs []error
	needed := len(c.replicas)/2 + 1
	for range c.replicas {
		select {
		case a := <-answers:
			if a.err != nil {
				errs = append(errs, a.err)
			} else {
				values = append(values, a.value)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if len(values) == needed {
			return values, nil
		}
	}
	return nil, fmt.Errorf("%d of %d replicas answered, %d are needed: %w", len(values), len(c.replicas), needed, errors.Join(errs...))
}

// Remote is a replica behind HTTP.
type Remote struct {
	URL    string // "http://kv-0.kv:8080"
	Client *http.Client
}

// Remotes makes replicas of a list "kv-0.kv:8080,kv-1.kv:8080,kv-2.kv:8080".
func Remotes(members string, client *http.Client) ([]Replica, error) {
	var replicas []Replica
	for member := range strings.SplitSeq(members, ",") {
		if member == "" {
			return nil, fmt.Errorf("members %q: want HOST:PORT,HOST:PORT,…", members)
		}
		replicas = append(replicas, Remote{URL: "http://" + member, Client: client})
	}
	return replicas, nil
}

// Read implements Replica.
func (r Remote) Read(ctx context.Context, key string) (record Record, err error) {
	body, err := r.do(ctx, http.MethodGet, key, nil)
	if err == nil {
		err = json.Unmarshal(body, &record)
	}
	return record, err
}

// Write implements Replica.
func (r Remote) Write(ctx context.Context, key string, record Record) error {
	content, err := json.Marshal(record)
	if err == nil {
		_, err = r.do(ctx, http.MethodPut, key, content)
	}
	return err
}

func (r Remote) do(ctx context.Context, method, key string, content []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL+"/kv?key="+url.QueryEscape(key), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 2*maxRecord))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", r.URL, resp.Status, bytes.TrimSpace(body))
	}
	return body, err
}
