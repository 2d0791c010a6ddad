package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	watchersEach = 100 // on one connection, as a busy client has
	fanRounds    = 5
)

// crowdsOfWatchers are how many watch the same collection.
var crowdsOfWatchers = []int{100, 1_000, 10_000}

// watchers measures what watches cost that have nothing to say, and how long it takes until all
// of them know of a write.
func (b *bench) watchers(ctx context.Context) error {
	m, err := b.startMaster(ctx, b.dir+"/watchers")
	if err != nil {
		return err
	}
	defer m.stop()
	defer b.profile(m, "watchers")()
	clients, err := kubernetes.NewForConfig(m.config)
	if err != nil {
		return err
	}
	drop, err := newNamespace(ctx, clients, "fan")
	if err != nil {
		return err
	}
	defer drop()
	crowd := &crowd{config: m.config, clients: clients}
	defer crowd.leave()
	before, err := memory(m.cmd.Process.Pid, "VmRSS")
	if err != nil {
		return err
	}
	for _, n := range crowdsOfWatchers {
		if err := crowd.grow(ctx, n); err != nil {
			return err
		}
		now, err := m.settled(ctx)
		if err != nil {
			return err
		}
		took, err := crowd.fanOut(ctx)
		if err != nil {
			return err
		}
		b.add(row{what: fmt.Sprintf("%d watchers of one collection: memory each when idle; write → last one told, p50 of %d", n, fanRounds),
			measured: fmt.Sprintf("%d kB; %s", max(0, now-before)/int64(n)>>10, ms(percentile(took, 50)))})
	}
	return nil
}

// settled waits until the master has collected what it does not need, and returns its memory.
func (m *master) settled(ctx context.Context) (int64, error) {
	least := int64(1) << 62
	for range 10 {
		now, err := memory(m.cmd.Process.Pid, "VmRSS")
		if err != nil {
			return 0, err
		}
		least = min(least, now)
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return least, nil
}

// crowd is many watches of the ConfigMaps of a namespace.
type crowd struct {
	config  *rest.Config
	clients kubernetes.Interface
	size    int
	ends    []func()
	all     sync.WaitGroup
	told    atomic.Int64  // events that were received
	wanted  atomic.Int64  // how many are waited for
	last    chan struct{} // gets a value when they are there
}

func (c *crowd) leave() {
	for _, end := range c.ends {
		end()
	}
	c.all.Wait()
}

// grow adds watches until there are n.
func (c *crowd) grow(ctx context.Context, n int) error {
	if c.last == nil {
		c.last = make(chan struct{}, 1)
	}
	list, err := c.clients.CoreV1().ConfigMaps("fan").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	path := c.config.Host + "/api/v1/namespaces/fan/configmaps?watch=1&resourceVersion=" + list.ResourceVersion
	for c.size < n {
		tls, err := rest.TLSConfigFor(c.config)
		if err != nil {
			return err
		}
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true, DisableCompression: true}}
		c.ends = append(c.ends, web.CloseIdleConnections)
		for range watchersEach {
			if err := c.join(ctx, web, path); err != nil {
				return err
			}
			c.size++
		}
	}
	return nil
}

func (c *crowd) join(ctx context.Context, web *http.Client, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		cancel()
		return err
	}
	resp, err := web.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		cancel()
		return fmt.Errorf("watching: %v, %w", resp, err)
	}
	c.ends = append(c.ends, cancel)
	c.all.Go(func() {
		defer resp.Body.Close()
		c.count(resp.Body)
	})
	return nil
}

// count counts the lines of a watch.
func (c *crowd) count(lines io.Reader) {
	buf := make([]byte, 2<<10)
	for {
		n, err := lines.Read(buf)
		if found := strings.Count(string(buf[:n]), "\n"); found > 0 && c.told.Add(int64(found)) == c.wanted.Load() {
			select {
			case c.last <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// fanOut writes, each time waiting until every watcher has been told.
func (c *crowd) fanOut(ctx context.Context) (took []time.Duration, err error) {
	for i := range fanRounds {
		c.wanted.Store(c.told.Load() + int64(c.size))
		began := time.Now()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("news-%d-%d", c.size, i)}, Data: map[string]string{"news": strings.Repeat("x", 500)}}
		if _, err := c.clients.CoreV1().ConfigMaps("fan").Create(ctx, cm, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
		select {
		case <-c.last:
			took = append(took, time.Since(began))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Minute):
			return nil, fmt.Errorf("%d of %d watchers were told", c.told.Load(), c.wanted.Load())
		}
	}
	return took, nil
}
