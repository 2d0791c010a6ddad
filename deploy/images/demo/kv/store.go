package kv

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// maxKey keeps the name of a key's file below what file systems take.
const maxKey = 128

const unfinished = ".part"

// Store keeps one replica's records, a file for each key.
type Store struct {
	dir string

	// mu makes compare-and-store one step. It is held across the disk's answer: whoever reads sees
	// only what is on the disk.
	mu     sync.Mutex
	broken error // guarded by mu; a disk that failed once is not believed again
}

// Open uses a directory, and forgets what was being written when the last process ended.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"+unfinished))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return &Store{dir: dir}, syncDir(dir) // what is visible from now on outlives a power cut
}

// Read returns what is kept of a key.
func (s *Store) Read(key string) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(key)
}

func (s *Store) read(key string) (r Record, err error) {
	if s.broken != nil {
		return r, s.broken
	}
	content, err := os.ReadFile(s.path(key))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading key %q: %w", key, err)
	}
	return r, nil
}

// Write keeps a record unless it has the same or a newer one, and returns when the disk has it.
func (s *Store) Write(key string, r Record) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("a key has 1 to %d bytes, this one %d", maxKey, len(key))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	has, err := s.read(key)
	if err != nil || has.Version.Compare(r.Version) >= 0 {
		return err
	}
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.replace(s.path(key), content); err != nil {
		s.broken = fmt.Errorf("writing key %q: %w", key, err)
	}
	return s.broken
}

// replace puts new content in a file's place: after a crash either the old or the new one is there whole.
func (s *Store) replace(path string, content []byte) error {
	f, err := os.Create(path + unfinished)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func (s *Store) path(key string) string {
	return filepath.Join(s.dir, base64.RawURLEncoding.EncodeToString([]byte(key))) // any byte may be in a key
}

// syncDir makes new names durable, as fsync of a file alone does not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
