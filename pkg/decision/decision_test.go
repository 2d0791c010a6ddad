package decision

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func filled(n int) *Log {
	l := NewLog(3)
	for range n {
		l.Add(Record{Component: "c", Plan: "p"})
	}
	return l
}

func TestServe(t *testing.T) {
	tests := []struct {
		name, method, path string
		added              int
		code               int
		seqs               []uint64
		last               uint64
	}{
		{"empty", "GET", "/", 0, 200, nil, 0},
		{"all", "GET", "/", 2, 200, []uint64{1, 2}, 2},
		{"the oldest fell out", "GET", "/", 5, 200, []uint64{3, 4, 5}, 5},
		{"since", "GET", "/?since=4", 5, 200, []uint64{5}, 5},
		{"nothing new", "GET", "/?since=5", 5, 200, nil, 5},
		{"bad number", "GET", "/?since=x", 5, 400, nil, 0},
		{"bad method", "POST", "/", 5, 405, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			filled(tt.added).ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			if w.Code != tt.code {
				t.Fatalf("code %d: %s", w.Code, w.Body)
			}
			if tt.code != http.StatusOK {
				return
			}
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			var seqs []uint64
			for _, r := range got.Records {
				seqs = append(seqs, r.Seq)
			}
			if diff := cmp.Diff(tt.seqs, seqs); diff != "" || got.Last != tt.last || got.Records == nil {
				t.Errorf("last %d: %s", got.Last, diff)
			}
		})
	}
}

func TestNilLogDropsAll(t *testing.T) {
	var l *Log
	l.Add(Record{})
	if got := l.Since(0); got != nil {
		t.Error(got)
	}
}

func TestRefTo(t *testing.T) {
	got := RefTo(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "u", ResourceVersion: "7"}})
	if want := (Ref{Resource: "pods", Namespace: "n", Name: "p", UID: "u", ResourceVersion: "7"}); got != want {
		t.Errorf("%+v", got)
	}
}
