package writer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestCopy(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	cases := []struct {
		name, reason, in string
		want             []string
	}{
		{"lines", "each line is an entry", "a\n\nb\n", []string{"stdout F a", "stdout F ", "stdout F b"}},
		{"no newline", "a last line without newline is said to be partial", "a\nb", []string{"stdout F a", "stdout P b"}},
		{"empty", "no output, no entry", "", nil},
		{"just fits", "the longest whole line", long + "\n", []string{"stdout F " + long}},
		{"long", "a longer one is cut", long + "y\n", []string{"stdout P " + long, "stdout F y"}},
		{"very long", "as often as needed", long + long + "\n", []string{"stdout P " + long, "stdout F " + long}},
		{"bytes", "whatever the bytes are", "\x00\xff\r\n", []string{"stdout F \x00\xff\r"}},
	}
	for _, c := range cases {
		for kind, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "bytewise": iotest.OneByteReader(strings.NewReader(c.in)), "data with error": iotest.DataErrReader(strings.NewReader(c.in))} {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				var out bytes.Buffer
				Copy(&out, "stdout", r)
				var got []string
				for line := range strings.Lines(out.String()) {
					_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
					got = append(got, rest)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.reason, diff)
				}
			})
		}
	}
}

func TestArgument(t *testing.T) {
	for _, o := range []Options{
		{Path: "/a:b/c.log", MaxBytes: 5, MaxFiles: 7},
		{Path: "/a", Dir: "/x:y%3a/z", Once: true},
		{Path: "/a", Dir: "/b", Partial: true},
		{Dir: "/only"},
	} {
		if got, err := parseArgument(Argument(o)); got != o || err != nil {
			t.Errorf("%+v became %+v, %v", o, got, err)
		}
	}
	for _, bad := range []string{"", "1:2", "x:1:true::/a", "1:x:true:true::/a", "1:2:x:true::/a", "1:2:true:x::/a", "1:2:true:true::relative", "1:2:true:true:relative:/a"} {
		if _, err := parseArgument(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f := NewFile(path, 1000, 3)
	for i := range 1000 {
		fmt.Fprintf(f, "entry %03d\n", i)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	aside := Rotated(path)
	if len(aside) != 2 {
		t.Fatalf("kept aside: %v, want 2", aside)
	}
	var all strings.Builder
	for _, name := range append(aside, path) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 1000 {
			t.Errorf("%s has %d bytes", name, len(data))
		}
		all.Write(data)
	}
	lines := strings.Split(strings.TrimSpace(all.String()), "\n")
	if len(lines) != 300 || lines[0] != "entry 700" || lines[299] != "entry 999" {
		t.Errorf("kept %d lines, %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

// TestFull: a log that cannot be written does not stop its container, and says so later.
func TestFull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	path := filepath.Join(dir, "0.log")
	f := NewFile(path, 0, 0)
	io.WriteString(f, "lost 1\nlost 2\n")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "kept\n")
	f.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data); !strings.Contains(got, "stderr F [miniorch: 2 log lines could not be written here]\nkept\n") {
		t.Errorf("log: %q", got)
	}
}

// BenchmarkCopy is how fast a container may talk.
func BenchmarkCopy(b *testing.B) {
	line := strings.Repeat("x", 99) + "\n"
	const lines = 100_000
	input := strings.Repeat(line, lines)
	f := NewFile(filepath.Join(b.TempDir(), "0.log"), 10<<20, 5)
	defer f.Close()
	b.SetBytes(int64(len(input)))
	for b.Loop() {
		Copy(f, "stdout", strings.NewReader(input))
	}
}
