package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/miniorch/miniorch/kubelet/logs/writer"
	"github.com/miniorch/miniorch/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func ptr[T any](v T) *T { return &v }

// at is the time stamp of second s.
func at(s int) string { return fmt.Sprintf("2026-01-02T03:04:%02d.000000000Z", s) }

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	files := map[string]string{
		path + ".20260101-000000.000000000": at(1) + " stdout F one\n" + at(2) + " stderr F two\n",
		path + ".20260102-000000.000000000": at(3) + " stdout P thr\n" + at(3) + " stdout F ee\n" + "rubbish\n",
		path:                                at(4) + " stdout F four\n" + at(5) + " stderr F five\n" + at(6) + " stdout P six",
	}
	files[path] += "\n"
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sinceFour, err := time.Parse(time.RFC3339Nano, at(4))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, reason string
		opts         corev1.PodLogOptions
		want         string
	}{
		{"all", "rotated files come first, pieces are joined, rubbish is passed over", corev1.PodLogOptions{}, "one\ntwo\nthree\nfour\nfive\nsix"},
		{"tail 0", "nothing", corev1.PodLogOptions{TailLines: ptr(int64(0))}, ""},
		{"tail 1", "the unfinished line is one", corev1.PodLogOptions{TailLines: ptr(int64(1))}, "six"},
		{"tail 3", "a file", corev1.PodLogOptions{TailLines: ptr(int64(3))}, "four\nfive\nsix"},
		{"tail 4", "into the file before, a line of two pieces", corev1.PodLogOptions{TailLines: ptr(int64(4))}, "three\nfour\nfive\nsix"},
		{"tail 5", "into the oldest", corev1.PodLogOptions{TailLines: ptr(int64(5))}, "two\nthree\nfour\nfive\nsix"},
		{"tail 100", "more than there is", corev1.PodLogOptions{TailLines: ptr(int64(100))}, "one\ntwo\nthree\nfour\nfive\nsix"},
		{"since", "from a time on", corev1.PodLogOptions{SinceTime: ptr(metav1.NewTime(sinceFour))}, "four\nfive\nsix"},
		{"since and tail", "the shorter wins", corev1.PodLogOptions{SinceTime: ptr(metav1.NewTime(sinceFour)), TailLines: ptr(int64(5))}, "four\nfive\nsix"},
		{"limit", "cut to the byte", corev1.PodLogOptions{LimitBytes: ptr(int64(6))}, "one\ntw"},
		{"timestamps", "once per line", corev1.PodLogOptions{TailLines: ptr(int64(4)), Timestamps: true}, at(3) + " three\n" + at(4) + " four\n" + at(5) + " five\n" + at(6) + " six"},
		{"stderr", "one stream", corev1.PodLogOptions{Stream: ptr(corev1.LogStreamStderr), TailLines: ptr(int64(2))}, "two\nfive\n"},
	}
	r := NewReader(Config{})
	defer r.Close()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := r.Read(t.Context(), path, &c.opts, nil, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("%s: got\n%q, want\n%q", c.reason, out.String(), c.want)
			}
		})
	}
	if err := r.Read(t.Context(), path+"-missing", nil, nil, &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing log: %v", err)
	}
}

// TestTailBlocks reads the ends of a log of many blocks, with lines of many pieces.
func TestTailBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	var input strings.Builder
	for i := range 300 {
		fmt.Fprintf(&input, "%d %s\n", i, strings.Repeat("z", (i%7)*9000))
	}
	f := writer.NewFile(path, 1<<20, 0)
	writer.Copy(f, "stdout", strings.NewReader(input.String()))
	f.Close()
	lines := strings.SplitAfter(strings.TrimSuffix(input.String(), "\n"), "\n")
	r := NewReader(Config{})
	defer r.Close()
	for _, n := range []int{1, 2, 3, 7, 8, 50, 150, 299, 300, 301} {
		var out bytes.Buffer
		if err := r.Read(t.Context(), path, &corev1.PodLogOptions{TailLines: ptr(int64(n))}, nil, &out); err != nil {
			t.Fatal(err)
		}
		want := strings.Join(lines[max(0, len(lines)-n):], "") + "\n"
		if out.String() != want {
			t.Errorf("tail %d: %d bytes, want %d", n, out.Len(), len(want))
		}
	}
}

// TestFollow follows a log through its rotations to its end, with several followers.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f := writer.NewFile(path, 20_000, 0)
	reading, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() { writer.Copy(f, "stdout", reading); f.Close() })
	fmt.Fprintln(w, "line 0")
	r := NewReader(Config{})
	defer r.Close()
	waitFor(t, path)
	exited := make(chan struct{})
	var followers sync.WaitGroup
	outputs := make([]bytes.Buffer, 3)
	for i := range outputs {
		followers.Go(func() {
			if err := r.Read(t.Context(), path, &corev1.PodLogOptions{Follow: true}, exited, &outputs[i]); err != nil {
				t.Errorf("follower: %v", err)
			}
		})
	}
	var want strings.Builder
	want.WriteString("line 0\n")
	for i := 1; i < 3000; i++ {
		fmt.Fprintf(w, "line %d\n", i)
		fmt.Fprintf(&want, "line %d\n", i)
		if i%1000 == 0 {
			time.Sleep(5 * time.Millisecond) // let followers come to the end now and then
		}
	}
	// The container is seen to exit while its writer still has lines in the pipe.
	close(exited)
	w.Close()
	followers.Wait()
	writing.Wait()
	if len(writer.Rotated(path)) < 3 {
		t.Errorf("the log was not rotated: %v", writer.Rotated(path))
	}
	for i := range outputs {
		if outputs[i].String() != want.String() {
			t.Errorf("follower %d got %d bytes, want %d", i, outputs[i].Len(), want.Len())
		}
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 100_000 {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no log")
}

// TestFollowLatency: a follower sees a line when it is written, not when its clock ticks;
// and a cancelled one ends without an error.
func TestFollowLatency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f := writer.NewFile(path, 0, 0)
	fmt.Fprintf(f, "%s stdout F first\n", at(1))
	defer f.Close()
	r := NewReader(Config{})
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	lines := make(lineChannel, 10)
	done := make(chan error, 1)
	go func() { done <- r.Read(ctx, path, &corev1.PodLogOptions{Follow: true}, nil, lines) }()
	<-lines
	begin := time.Now()
	fmt.Fprintf(f, "%s stdout F second\n", at(2))
	if got := <-lines; got != "second\n" {
		t.Errorf("got %q", got)
	}
	t.Logf("seen after %v", time.Since(begin))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestExitedIsReadToItsEnd: whoever knows that a container has ended sees the line that its
// writer has not written yet; an open end is waited for, but not for ever.
func TestExitedIsReadToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f := writer.NewFile(path, 0, 0)
	fmt.Fprintf(f, "%s stdout F first\n", at(1))
	exited := make(chan struct{})
	close(exited)
	clk := testingclock.NewFakeClock(time.Unix(0, 0))
	r := NewReader(Config{Clock: clk})
	defer r.Close()
	read := func(meanwhile func()) string {
		var out strings.Builder
		var reading sync.WaitGroup
		reading.Go(func() {
			if err := r.Read(t.Context(), path, nil, exited, &out); err != nil {
				t.Error(err)
			}
		})
		for !clk.HasWaiters() { // until it waits for the writer
			time.Sleep(time.Millisecond)
		}
		meanwhile()
		clk.Step(writerPatience)
		reading.Wait()
		return out.String()
	}
	if got := read(func() {}); got != "first\n" {
		t.Errorf("with a writer that stays: got %q", got)
	}
	if got := read(func() {
		fmt.Fprintf(f, "%s stdout F last\n", at(2))
		f.Close()
	}); got != "first\nlast\n" {
		t.Errorf("with a writer that is late: got %q", got)
	}
}

type lineChannel chan string

func (c lineChannel) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(at(1) + " stdout F text\n"))
	f.Add([]byte(at(1) + " stderr P:x \n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, ok := parseEntry(line); ok && len(e.stamp)+len(e.stream)+len(e.text) > len(line) {
			t.Errorf("entry longer than its line: %+v", e)
		}
	})
}
