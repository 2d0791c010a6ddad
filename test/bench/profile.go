package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

// profile records what the master's processors do, and what its memory is used for, until
// the result is called, if that is wanted.
func (b *bench) profile(m *master, name string) (done func()) {
	if b.profiles == "" {
		return func() {}
	}
	cpu := make(chan struct{})
	go func() {
		defer close(cpu)
		b.save(m, "/debug/pprof/profile?seconds=6", name+".cpu")
	}()
	return func() {
		<-cpu
		b.save(m, "/debug/pprof/heap", name+".heap")
		b.save(m, "/debug/pprof/allocs", name+".allocs")
	}
}

func (b *bench) save(m *master, path, file string) {
	err := func() error {
		client, err := rest.HTTPClientFor(m.config)
		if err != nil {
			return err
		}
		resp, err := client.Get(m.config.Host + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		out, err := os.Create(filepath.Join(b.profiles, file))
		if err != nil {
			return err
		}
		defer out.Close()
		_, err = io.Copy(out, resp.Body)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: no profile:", err)
	}
}
