// Package docs tests that the pages say what is so: that the files, links, make targets, flags
// and controllers that they name exist. It reads sources instead of running programs, so
// that it costs nothing.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// page is one Markdown file, split into prose and blocks of code.
type page struct {
	path  string // below root
	prose string
	code  string
}

func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || name == "bin") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		all = append(all, split(name, read(t, name)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found below %s", len(all), root)
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func split(name, content string) page {
	p := page{path: name}
	inCode := false
	for line := range strings.Lines(content) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inCode = !inCode
		} else if inCode {
			p.code += line
		} else {
			p.prose += line
		}
	}
	return p
}

// missing lists what of named is not in there, each once.
func missing(named, there []string) []string {
	var out []string
	for _, n := range named {
		if !slices.Contains(there, n) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// found returns the first group of every match.
func found(pattern *regexp.Regexp, text string) []string {
	var out []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksLead(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		for _, to := range found(link, p.prose) {
			if strings.Contains(to, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(to, "#")
			target := filepath.Join(filepath.Dir(p.path), file)
			if file == "" {
				target = p.path
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, to)
			} else if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s: %s has no such heading", p.path, to, target)
			}
		}
	}
}

// anchors are the names by which headings can be linked to, as GitHub makes them.
func anchors(content string) []string {
	var out []string
	for _, h := range found(heading, content) {
		out = append(out, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(h), ""), " ", "-"))
	}
	return out
}

var (
	quoted = regexp.MustCompile("`([^`\n]+)`")
	isFile = regexp.MustCompile(`^(\.\./)*[\w.*-]+(/[\w.*-]+)*/?$`)
	known  = []string{".go", ".sh", ".md", ".yaml", ".txt", ".service"}
)

// TestFilesExist checks what stands in backquotes and looks like a file or folder of the tree.
// It may be named from the root, from the page's folder, or from one that the page has named
// before.
func TestFilesExist(t *testing.T) {
	elsewhere := []string{"bad.yaml", "decide.go", "decide_test.go", "<noun>.go"} // in examples and checklists
	for _, p := range pages(t) {
		if p.path == "CHANGELOG.md" {
			continue // history
		}
		folders := []string{".", filepath.Dir(p.path)}
		for _, name := range found(quoted, p.prose) {
			if !isFile.MatchString(name) || slices.Contains(elsewhere, name) {
				continue
			}
			at := ""
			for _, folder := range folders {
				if hits, _ := filepath.Glob(filepath.Join(root, folder, name)); len(hits) > 0 {
					at = filepath.Join(folder, name)
				}
			}
			if at == "" {
				if slices.Contains(known, filepath.Ext(name)) || strings.HasSuffix(name, "/") && len(name) > 2 {
					t.Errorf("%s names %s, which is not there", p.path, name)
				}
				continue
			}
			for dir := filepath.Clean(at); dir != "."; dir = filepath.Dir(dir) {
				folders = append(folders, dir)
			}
		}
	}
}

var (
	target      = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	makeCommand = regexp.MustCompile("(?m)(?:^(?:\\$ )?|`|&& )make ([a-z]+(?: [a-z]+)*)")
	assignment  = regexp.MustCompile(`\b([A-Z_]+)=\w`)
)

func TestMakeTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	targets := found(target, makefile)
	if !slices.Contains(targets, "up") {
		t.Fatalf("the targets of the Makefile are %q", targets)
	}
	for _, p := range pages(t) {
		for _, words := range found(makeCommand, p.prose+p.code) {
			for _, name := range missing(strings.Fields(words), targets) {
				t.Errorf("%s says `make %s`: there is no such target", p.path, name)
			}
		}
	}
	for _, variable := range found(assignment, split("", read(t, "README.md")).prose) {
		if !strings.Contains(makefile, variable) {
			t.Errorf("README.md names the variable %s, the Makefile does not", variable)
		}
	}
}
