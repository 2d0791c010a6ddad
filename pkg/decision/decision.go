// Package decision keeps what every component decided: one ordered, bounded log per
// process of applied plans, with what each was decided from and how it ended. Tracing,
// explaining and grading read it.
package decision

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Ref names an object at the version a decision was made from.
type Ref struct {
	Resource        string    `json:"resource"` // "pods", "deployments.apps"
	Namespace       string    `json:"namespace,omitempty"`
	Name            string    `json:"name"`
	UID             types.UID `json:"uid,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
}

// Record is one applied plan.
type Record struct {
	Seq       uint64        `json:"seq"` // assigned by Log, starting at 1
	Time      time.Time     `json:"time"`
	Component string        `json:"component"` // "controller/deployment", "scheduler", "kubelet", "proxy", …
	Object    Ref           `json:"object"`
	From      []Ref         `json:"from,omitempty"` // what else was read to decide
	Plan      string        `json:"plan"`           // the plan's String()
	Error     string        `json:"error,omitempty"`
	Took      time.Duration `json:"tookNanoseconds"` // time that applying took
}

// Log is a bounded ring of records. The zero value is not usable; nil is: it drops all.
type Log struct {
	mu   sync.Mutex
	ring []Record // guarded by mu; index Seq % len
	last uint64   // guarded by mu
}

// NewLog returns a log that keeps the last n records.
func NewLog(n int) *Log { return &Log{ring: make([]Record, n)} }

// Add appends r and assigns its Seq.
func (l *Log) Add(r Record) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.Seq = l.last
	l.ring[r.Seq%uint64(len(l.ring))] = r
}

// Since returns the kept records whose Seq is greater than seq, oldest first.
func (l *Log) Since(seq uint64) []Record {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := uint64(len(l.ring)); l.last > kept && seq < l.last-kept {
		seq = l.last - kept
	}
	var out []Record
	for s := seq + 1; s <= l.last; s++ {
		out = append(out, l.ring[s%uint64(len(l.ring))])
	}
	return out
}
