// Package rules tests what nobody should have to remember in a review: who may import
// whom, what is documented, how long a file may become.
package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/miniorch/miniorch/"

// pkg is one package as `go list` knows it.
type pkg struct {
	ImportPath, Dir, Name                              string
	Standard                                           bool
	GoFiles, CgoFiles, TestGoFiles, XTestGoFiles       []string
	Imports, TestImports, XTestImports, IgnoredGoFiles []string
}

// name is the path below the module, or the whole import path of others' packages.
func (p *pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func (p *pkg) ours() bool { return strings.HasPrefix(p.ImportPath, module) }

// tree is every package that ours import, through whatever many others; and ours.
type tree map[string]*pkg

var load = sync.OnceValues(func() (tree, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Name,Standard,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,IgnoredGoFiles", module+"...")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New(err.Error() + ": " + stderr.String())
	}
	all := tree{}
	for list := json.NewDecoder(&stdout); ; {
		p := &pkg{}
		if err := list.Decode(p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func loaded(t *testing.T) tree {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return all
}

// ours in order of their paths.
func (all tree) ours() []*pkg {
	var out []*pkg
	for _, p := range all {
		if p.ours() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return out
}

// source is one parsed file of ours.
type source struct {
	*ast.File
	pkg   *pkg
	path  string // below the module's root
	lines int
	test  bool // a _test.go file
}

var sources = sync.OnceValues(func() ([]source, error) {
	all, err := load()
	if err != nil {
		return nil, err
	}
	var out []source
	for _, p := range all.ours() {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			out = append(out, source{
				File: f, pkg: p, path: p.name() + "/" + name,
				lines: files.File(f.FileStart).LineCount(), test: strings.HasSuffix(name, "_test.go"),
			})
		}
	}
	return out, nil
})

func parsed(t *testing.T) []source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// matches says whether name is one of the patterns in a list separated by spaces. "a/..." is
// a and all below it; "*" stands for what is in one step of a path.
func matches(patterns, name string) bool {
	for _, p := range strings.Fields(patterns) {
		if below, ok := strings.CutSuffix(p, "/..."); ok {
			steps := strings.Split(name, "/")
			if n := strings.Count(below, "/") + 1; len(steps) >= n {
				if ok, _ := filepath.Match(below, strings.Join(steps[:n], "/")); ok {
					return true
				}
			}
		} else if ok, _ := filepath.Match(p, name); ok {
			return true
		}
	}
	return false
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		patterns, name, reason string
		want                   bool
	}{
		{"apiserver/...", "apiserver", "the folder itself", true},
		{"apiserver/...", "apiserver/rest/ipalloc", "all below", true},
		{"apiserver/...", "apiserver2", "whole steps", false},
		{"apiserver", "apiserver/rest", "no dots: this one only", false},
		{"a pkg/*/*test", "pkg/client/clienttest", "one of several", true},
		{"pkg/*/*test", "pkg/client", "too short", false},
		{"k8s.io/client-go/...", "k8s.io/client-go/tools/cache", "others' packages too", true},
	} {
		if got := matches(c.patterns, c.name); got != c.want {
			t.Errorf("%q matches %q = %v, want %v: %s", c.patterns, c.name, got, c.want, c.reason)
		}
	}
}
