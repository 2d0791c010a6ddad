package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// programs are where the flags of each program are defined.
var programs = map[string]string{
	"miniorch-master":     "cmd/miniorch-master/options.go",
	"miniorch-node":       "cmd/miniorch-node/options.go",
	"miniorchctl cluster": "cli/cluster/command.go",
	"miniorchctl why":     "cli/why/why.go",
	"deploy/images/demo":  "deploy/images/demo/*.go",
	"deploy/images/build": "deploy/images/build/main.go",
}

var (
	definition = regexp.MustCompile(`(?:\bflags?|Flags\(\))\.\w+\((?:&[\w.]+, )?"([a-z][a-z-]*)"`)
	flagUse    = regexp.MustCompile("--([a-z][a-z-]+)")
)

// defined lists the flags of one program.
func defined(t *testing.T, program string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, programs[program]))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, no files %s", program, err, programs[program])
	}
	var names []string
	for _, f := range files {
		name, _ := filepath.Rel(root, f)
		content := read(t, name)
		names = append(names, found(definition, content)...)
		if strings.HasPrefix(program, "deploy/images/demo") {
			names = append(names, found(flagUse, content)...) // its usage text
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s: no flag is defined in %s", program, programs[program])
	}
	return names
}

// others are flags of programs that are not ours, as they stand in the pages.
var others = strings.Fields(`
	replicas image image-pull-policy count type overrides command context raw since tail follow previous timeout timestamps sort-by
	ignore-daemonsets now  code
	cacert cert key connect-to
	address noflush dport comment to-destination as since-time now env listen validate force server-side from to-revision`)

func TestFlagsExist(t *testing.T) {
	all := slices.Clone(others)
	for program := range programs {
		all = append(all, defined(t, program)...)
	}
	for _, p := range pages(t) {
		for _, name := range missing(found(flagUse, p.prose+p.code), all) {
			t.Errorf("%s names the flag --%s, which no program has", p.path, name)
		}
	}
}

// TestOperatingHasAllFlags compares the tables of docs/operating.md with the definitions, both
// ways.
func TestOperatingHasAllFlags(t *testing.T) {
	content := read(t, "docs/operating.md")
	for _, program := range []string{"miniorch-master", "miniorch-node", "miniorchctl cluster"} {
		_, section, ok := strings.Cut(content, "### "+program+"\n")
		if !ok {
			t.Errorf("docs/operating.md has no table of %s", program)
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		var named []string
		for line := range strings.Lines(section) {
			if cells := strings.Split(line, "|"); len(cells) > 1 {
				named = append(named, found(flagUse, cells[1])...)
			}
		}
		flags := defined(t, program)
		for _, name := range missing(flags, named) {
			t.Errorf("docs/operating.md does not have --%s of %s", name, program)
		}
		for _, name := range missing(named, flags) {
			t.Errorf("docs/operating.md gives %s the flag --%s, which it does not have", program, name)
		}
	}
}

var disabling = regexp.MustCompile(`--disable[= ]([a-z,]+)`)

// TestDisabledPartsExist looks for the names of parts where they are switched.
func TestDisabledPartsExist(t *testing.T) {
	sources := read(t, programs["miniorch-master"]) + read(t, programs["miniorch-node"]) + read(t, "controllers/controllers.go")
	for _, p := range pages(t) {
		for _, list := range found(disabling, p.prose+p.code) {
			for name := range strings.SplitSeq(strings.Trim(list, ","), ",") {
				if !strings.Contains(sources, `"`+name+`"`) {
					t.Errorf("%s disables %q, which is no part", p.path, name)
				}
			}
		}
	}
}
