// Package kv is a replicated key-value store, as small as one can be that keeps its promises.
//
// It promises, for each key on its own:
//
//   - A write that was acknowledged is on the disks of a majority of the replicas, and stays there.
//   - Whoever reads sees the last acknowledged write, or a newer one; and what one reader has seen,
//     no later reader misses. (Such a register is called linearizable.)
//   - With a minority of the replicas gone everything goes on. Without a majority nothing is
//     acknowledged; what had been is back with the majority.
//
// A write that failed may have happened or may still happen, as with every store over a network.
//
// There is no leader and no log, and a replica that comes back has nothing to catch up with: the
// client does the work, in two rounds, each to all replicas and done when a majority has answered.
//
//	write   ask for the newest version ─▶ store value under a still newer one
//	read    ask for value and version  ─▶ store the newest of them (unless all who answered have it)
//
// Any two majorities have a replica in common: so the first round meets every write that was
// acknowledged before. That is the algorithm of Attiya, Bar-Noy and Dolev, "Sharing memory robustly
// in message-passing systems" (1995), with several writers.
//
// The promise holds while the replicas are the same machines with the same disks: a member that
// lost its data must not come back under its old name, and the list of members never changes.
// There is no deleting, and no operation on two keys.
package kv

import "strings"

// Version orders the values that a key had. Two writes never have the same: Writer is drawn anew for each.
type Version struct {
	Counter uint64 `json:"counter"`
	Writer  string `json:"writer,omitempty"`
}

// Compare is negative when v is older than other, 0 when they are the same.
func (v Version) Compare(other Version) int {
	switch {
	case v.Counter < other.Counter:
		return -1
	case v.Counter > other.Counter:
		return 1
	}
	return strings.Compare(v.Writer, other.Writer)
}

// Record is what a replica keeps of a key; the zero Record says that it was never written.
type Record struct {
	Version Version `json:"version"`
	Value   string  `json:"value"`
}

// newest picks the record with the highest version, and tells whether all have it.
func newest(records []Record) (latest Record, unanimous bool) {
	latest, unanimous = records[0], true
	for _, r := range records[1:] {
		switch c := r.Version.Compare(latest.Version); {
		case c > 0:
			latest, unanimous = r, false
		case c < 0:
			unanimous = false
		}
	}
	return latest, unanimous
}
