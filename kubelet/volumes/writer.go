package volumes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is one file to appear in a volume.
type file struct {
	data  []byte
	mode  os.FileMode
	owner *int64 // nil: root
}

// Names that belong to the writer. Everything in a volume is seen through dataLink, which
// is swapped by one rename: a reader sees all of the old content or all of the new.
const (
	dataLink = "..data"
	nextLink = "..data_tmp"
)

// writeAtomically makes the volume at dir hold exactly files. It does nothing if it does so
// already.
func writeAtomically(dir string, files map[string]file, group *int64, now time.Time) error {
	for path := range files {
		if err := checkPath(path); err != nil {
			return err
		}
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != "" && same(filepath.Join(dir, old), files) {
		return link(dir, files) // a crash may have come between swap and links
	}
	data, err := os.MkdirTemp(dir, now.UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := fill(data, files, group); err != nil {
		return errors.Join(err, os.RemoveAll(data))
	}
	if err := swap(dir, filepath.Base(data)); err != nil {
		return errors.Join(err, os.RemoveAll(data))
	}
	if err := link(dir, files); err != nil {
		return err
	}
	return sweep(dir, filepath.Base(data), files)
}

// checkPath refuses what would leave the volume or collide with the writer's own names.
func checkPath(path string) error {
	if !filepath.IsLocal(path) || filepath.Clean(path) != path || strings.HasPrefix(path, "..") {
		return fmt.Errorf("invalid path %q in volume", path)
	}
	return nil
}

func fill(data string, files map[string]file, group *int64) error {
	dirMode := os.FileMode(0o755)
	if group != nil {
		dirMode |= os.ModeSetgid
	}
	if err := own(data, nil, group, dirMode); err != nil {
		return err
	}
	for path, f := range files {
		full := filepath.Join(data, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, f.data, 0o600); err != nil {
			return err
		}
		mode := f.mode
		if group != nil {
			mode |= 0o440
		}
		if err := own(full, f.owner, group, mode); err != nil {
			return err
		}
	}
	return filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return own(path, nil, group, dirMode)
	})
}

// own sets owner and mode whatever the umask says. Chown comes first: it clears setgid.
func own(path string, user, group *int64, mode os.FileMode) error {
	uid, gid := -1, -1
	if user != nil {
		uid = int(*user)
	}
	if group != nil {
		gid = int(*group)
	}
	if uid != -1 || gid != -1 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}

func swap(dir, data string) error {
	next := filepath.Join(dir, nextLink)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(data, next); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, dataLink))
}

// link makes the first element of every path visible.
func link(dir string, files map[string]file) error {
	for _, top := range tops(files) {
		at := filepath.Join(dir, top)
		if to, err := os.Readlink(at); err == nil && to == filepath.Join(dataLink, top) {
			continue
		}
		if err := os.RemoveAll(at); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(dataLink, top), at); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes links to what is gone, and old data.
func sweep(dir, data string, files map[string]file) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	keep := append(tops(files), dataLink, data)
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func tops(files map[string]file) []string {
	var out []string
	for path := range files {
		top, _, _ := strings.Cut(path, "/")
		if !slices.Contains(out, top) {
			out = append(out, top)
		}
	}
	return out
}

// same reports whether data holds exactly files, by content.
func same(data string, files map[string]file) bool {
	seen := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		want, ok := files[rel]
		if !ok {
			return errDiffers
		}
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want.data) {
			return errDiffers
		}
		seen++
		return nil
	})
	return err == nil && seen == len(files)
}

var errDiffers = errors.New("content differs")
