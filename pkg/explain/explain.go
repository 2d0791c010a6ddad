// Package explain is what a scheduler says about a pod when it is asked why: the words that it
// and those who ask have in common.
package explain

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Answer is why a pod is where it is, or is not anywhere.
type Answer struct {
	// State says in a sentence how things stand with the pod.
	State string `json:"state"`
	// Attempts are those that are remembered, the oldest first.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Table is behind the last attempt; without one, behind a decision as it would be made now.
	Table *Table `json:"table,omitempty"`
	// IfChanged is the table if everything were the same but for Changes.
	Changes   []string `json:"changes,omitempty"`
	IfChanged *Table   `json:"ifChanged,omitempty"`
	// Fixes are single changes after which the pod would fit, the smallest first.
	Fixes []Fix `json:"fixes,omitempty"`
}

// Attempt is one attempt to find a node.
type Attempt struct {
	Time   time.Time `json:"time"`
	Result string    `json:"result"`
}

// Table is what every plugin said of every node.
type Table struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	Profile   string    `json:"profile"`
	Time      time.Time `json:"time"`
	Node      string    `json:"node,omitempty"`    // the chosen one
	Refusal   string    `json:"refusal,omitempty"` // if there is none
	Filters   []string  `json:"filters"`           // plugins that pass or refuse nodes, in order
	Scores    []Score   `json:"scores"`            // plugins that scored, in order
	Nodes     []Row     `json:"nodes"`
	// Preemption is where room could have been made for the pod, the best place first.
	Preemption []Candidate `json:"preemption,omitempty"`
}

// Score is a plugin that scored, with its weight.
type Score struct {
	Plugin string `json:"plugin"`
	Weight int64  `json:"weight"`
}

// Row is one node's row: who refuses it and why, or its scores.
type Row struct {
	Node    string    `json:"node"`
	Refused []Refusal `json:"refused,omitempty"` // by all who do, the one that counted first
	Scores  []int64   `json:"scores,omitempty"`  // by plugin, normalized, before their weight
	Total   int64     `json:"total"`
}

// Refusal is what one plugin holds against a node.
type Refusal struct {
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
}

// Candidate is a node where room can be made, and what it costs.
type Candidate struct {
	Node       string   `json:"node"`
	Victims    []string `json:"victims"`    // namespace/name
	Violations int      `json:"violations"` // of disruption budgets
}

// Fix is a single change after which the pod would fit.
type Fix struct {
	Change string `json:"change"`
	Node   string `json:"node"` // where the pod would go then
}
