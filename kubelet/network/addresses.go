package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// addressBook allocates pod addresses. An allocated address is a file named after it
// that holds the pod's UID, created exclusively: the directory is the truth.
type addressBook struct {
	dir string

	mu   sync.Mutex
	last netip.Addr // guarded by mu; allocation goes on behind it, so that an address rests before it is used again
}

var errExhausted = errors.New("all addresses are taken")

func (b *addressBook) allocate(cidr netip.Prefix, uid string) (netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return netip.Addr{}, err
	}
	taken, err := b.read()
	if err != nil {
		return netip.Addr{}, err
	}
	for ip, owner := range taken {
		if owner == uid && cidr.Contains(ip) {
			return ip, nil
		}
	}
	first := gateway(cidr).Next()
	start := first
	if b.last.IsValid() && cidr.Contains(b.last.Next()) {
		start = b.last.Next()
	}
	for ip := start; ; {
		if _, used := taken[ip]; !used && cidr.Contains(ip.Next()) { // the last address is the broadcast address
			if err := b.write(ip, uid); err != nil {
				return netip.Addr{}, err
			}
			b.last = ip
			return ip, nil
		}
		if ip = ip.Next(); !cidr.Contains(ip) {
			ip = first
		}
		if ip == start {
			return netip.Addr{}, errExhausted
		}
	}
}

// write records the owner so that a crash leaves either no file or a whole one.
func (b *addressBook) write(ip netip.Addr, uid string) error {
	part := filepath.Join(b.dir, ".part")
	if err := os.WriteFile(part, []byte(uid), 0o644); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(b.dir, ip.String()))
}

func (b *addressBook) release(uid string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken, err := b.read()
	if err != nil {
		return err
	}
	for ip, owner := range taken {
		if owner == uid {
			if err := os.Remove(filepath.Join(b.dir, ip.String())); err != nil {
				return fmt.Errorf("releasing %s: %w", ip, err)
			}
		}
	}
	return nil
}

func (b *addressBook) read() (map[netip.Addr]string, error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	taken := make(map[netip.Addr]string, len(entries))
	for _, e := range entries {
		ip, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		uid, err := os.ReadFile(filepath.Join(b.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		taken[ip] = strings.TrimSpace(string(uid))
	}
	return taken, nil
}
