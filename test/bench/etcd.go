package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/etcd"
)

// etcdAloneVariable makes this program be an etcd and nothing else, in the directory that it
// names: a process of its own, so that its memory is its own, too.
const etcdAloneVariable = "MINIORCH_BENCH_ETCD"

// etcdRequest asks for so many transactions by so many writers, that make keys or change those
// that there are; etcdAnswer says how it went.
type etcdRequest struct {
	Writers, Count int
	Changes        bool
}

type etcdAnswer struct {
	Rate    float64
	Latency []time.Duration
}

// etcdAlone writes one pod's worth, answers, and then serves requests from standard input.
func etcdAlone(ctx context.Context, dir string) error {
	e, err := etcd.StartEmbedded(ctx, etcd.EmbeddedConfig{DataDir: dir})
	if err != nil {
		return err
	}
	defer e.Close()
	store := etcd.New(e.Client(), etcd.Config{})
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	request := etcdRequest{Writers: 1, Count: 1}
	keys := &etcdKeys{store: store}
	for {
		answer, err := keys.transact(ctx, request)
		if err != nil {
			return err
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
		if err := in.Decode(&request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// etcdKeys are the keys that were made last, with their revisions.
type etcdKeys struct {
	store     storage.Store
	rounds    int
	revisions []int64
}

// transact writes values of a pod's size, each in a compare-and-swap as the API server does.
func (k *etcdKeys) transact(ctx context.Context, r etcdRequest) (etcdAnswer, error) {
	if !r.Changes {
		k.rounds, k.revisions = k.rounds+1, make([]int64, r.Count)
	}
	value := bytes.Repeat([]byte{'x'}, podValue)
	latency := make([]time.Duration, r.Count)
	failed := make([]error, r.Writers)
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for w := range r.Writers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(r.Count); i = next.Add(1) - 1 {
				start := time.Now()
				key := fmt.Sprintf("/registry/core/pods/bench-%d/pod-%d", k.rounds, i)
				done, err := k.store.Write(ctx, storage.Write{Key: key, Value: value, Expect: k.revisions[i]})
				if err == nil && !done.Done {
					err = fmt.Errorf("%s is not at revision %d", key, k.revisions[i])
				}
				if err != nil {
					failed[w] = err
					return
				}
				k.revisions[i] = done.Revision
				latency[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	return etcdAnswer{Rate: rate(r.Count, time.Since(began)), Latency: latency}, errors.Join(failed...)
}

// etcdPeer is the process that is an etcd alone.
type etcdPeer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	ready time.Duration // from the start of the process to its first write
}

func (b *bench) startEtcd() (*etcdPeer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "etcd")
	if err != nil {
		return nil, err
	}
	p := &etcdPeer{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), etcdAloneVariable+"="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(bufio.NewReader(out))
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var first etcdAnswer
	if err := p.out.Decode(&first); err != nil {
		p.stop()
		return nil, fmt.Errorf("etcd alone did not start: %w", err)
	}
	p.ready = time.Since(began)
	return p, nil
}

func (p *etcdPeer) write(r etcdRequest) (creates, error) {
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return creates{}, err
	}
	var a etcdAnswer
	if err := p.out.Decode(&a); err != nil {
		return creates{}, fmt.Errorf("etcd alone: %w", err)
	}
	return creates{a.Rate, a.Latency}, nil
}

func (p *etcdPeer) stop() {
	p.in.Close()
	_ = p.cmd.Wait()
}
