package csi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	rescan = 5 * time.Minute // if the kernel told nothing
	answer = 10 * time.Second

	// A socket is there a moment before anybody listens; one that nobody has taken away may stay for good.
	retryMin = 20 * time.Millisecond
	retryMax = 30 * time.Second
)

// socket is one that a driver listens at. One that was made anew has another inode.
type socket struct {
	path  string
	inode uint64
}

// scan registers drivers whose sockets have come, and forgets those whose sockets have gone. It
// reports whether all went well.
func (m *Manager) scan(ctx context.Context, known map[socket]*driver) bool {
	there, err := sockets(m.registryDir())
	if err != nil {
		m.cfg.Logger.Warn("cannot look for drivers", "err", err)
		return false
	}
	fine := true
	for s, d := range known {
		if slices.Contains(there, s) {
			continue
		}
		if err := m.forget(ctx, d); err != nil {
			m.cfg.Logger.Warn("cannot take a driver off the node", "driver", d.name, "err", err)
			fine = false
			continue
		}
		delete(known, s)
	}
	for _, s := range there {
		if known[s] != nil {
			continue
		}
		d, err := m.register(ctx, s.path)
		switch {
		case err != nil:
			m.cfg.Logger.Info("cannot register a driver yet", "socket", s.path, "err", err)
			fine = false
		default:
			known[s] = d
		}
	}
	return fine
}

// sockets lists the sockets in a directory and one level below, as drivers put them.
func sockets(dir string) ([]socket, error) {
	var found []socket
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Type()&fs.ModeSocket == 0:
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it has just gone
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			found = append(found, socket{path, st.Ino})
		}
		return nil
	})
	return found, err
}

// register asks who listens at a socket, opens the driver, and makes it known to the cluster.
func (m *Manager) register(ctx context.Context, path string) (*driver, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	conn, err := connect(path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	plugin := registration.NewRegistrationClient(conn)
	info, err := plugin.GetInfo(ctx, &registration.InfoRequest{})
	if err != nil {
		return nil, fmt.Errorf("asking who it is: %w", err)
	}
	d, err := m.open(ctx, info)
	if err == nil {
		if err = m.advertise(ctx, d); err != nil {
			d.conn.Close()
		} else {
			m.take(d)
		}
	}
	status := &registration.RegistrationStatus{PluginRegistered: err == nil}
	if err != nil {
		status.Error = err.Error()
	}
	if _, told := plugin.NotifyRegistrationStatus(ctx, status); told != nil {
		m.cfg.Logger.Warn("cannot tell a driver how its registration went", "driver", info.Name, "err", told)
	}
	return d, err
}

// take has volumes mounted by a driver from now on, in the place of an older one of its name.
func (m *Manager) take(d *driver) {
	m.mu.Lock()
	old := m.drivers[d.name]
	m.drivers[d.name] = d
	m.mu.Unlock()
	if old != nil {
		old.conn.Close()
	}
	m.cfg.Logger.Info("driver registered", "driver", d.name)
}

// open speaks to a driver for the first time.
func (m *Manager) open(ctx context.Context, info *registration.PluginInfo) (*driver, error) {
	switch {
	case info.Type != registration.CSIPlugin:
		return nil, fmt.Errorf("plugins of type %s are not supported", info.Type)
	case !slices.ContainsFunc(info.SupportedVersions, func(v string) bool { return strings.HasPrefix(strings.TrimPrefix(v, "v"), "1.") }):
		return nil, fmt.Errorf("driver %s speaks versions %v, this node 1", info.Name, info.SupportedVersions)
	}
	return openDriver(ctx, info.Name, info.Endpoint)
}

// forget takes a driver off the node, unless it has registered again.
func (m *Manager) forget(ctx context.Context, d *driver) error {
	m.mu.Lock()
	current := m.drivers[d.name] == d
	m.mu.Unlock()
	if !current {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	if err := m.withdraw(ctx, d.name); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.drivers, d.name)
	m.mu.Unlock()
	m.cfg.Logger.Info("driver gone", "driver", d.name)
	return d.conn.Close()
}

func (m *Manager) closeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, d := range m.drivers {
		d.conn.Close()
		delete(m.drivers, name)
	}
}

// watchDir makes a directory and tells when something comes there or goes.
func watchDir(dir string) (changed <-chan struct{}, stop func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE|unix.IN_ATTRIB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("watching %s: %w", dir, err), file.Close())
	}
	told, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4<<10)
		for {
			if _, err := file.Read(buffer); err != nil {
				return
			}
			select {
			case told <- struct{}{}:
			default: // it has one to read already
			}
		}
	}()
	return told, func() { file.Close(); <-done }, nil
}
