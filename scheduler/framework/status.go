package framework

import (
	"errors"
	"strings"
)

// Code says what kind of answer a Status is.
type Code int

// The answers that plugins give.
const (
	Success       Code = iota
	Unschedulable      // not as things are; something in the cluster may change it
	Unresolvable       // not on this node, whatever is evicted from it; or not at all
	Failed             // the plugin could not tell
	Wait               // Permit: not yet
	Skip               // nothing to say
)

// Status is a plugin's answer. Nil is success. Statuses are immutable, and most are made once.
type Status struct {
	Code    Code
	Reasons []string // in the words that users read
	Plugin  string   // filled by the Framework
	Err     error    // of Failed
}

// Refuse returns the answer that the pod does not fit now.
func Refuse(reasons ...string) *Status { return &Status{Code: Unschedulable, Reasons: reasons} }

// RefuseForGood returns the answer that evicting pods would not help either.
func RefuseForGood(reasons ...string) *Status { return &Status{Code: Unresolvable, Reasons: reasons} }

// Fail returns the answer that the plugin met an error.
func Fail(err error) *Status { return &Status{Code: Failed, Reasons: []string{err.Error()}, Err: err} }

// Skipped is the answer of a plugin that has nothing to say.
var Skipped = &Status{Code: Skip}

// OK reports whether the answer is success.
func (s *Status) OK() bool { return s == nil || s.Code == Success }

// IsSkip reports whether the plugin has nothing to say.
func (s *Status) IsSkip() bool { return s != nil && s.Code == Skip }

// Error returns the status as an error; nil if it is none.
func (s *Status) Error() error {
	switch {
	case s.OK() || s.Code == Skip:
		return nil
	case s.Err != nil:
		return s.Err
	}
	return errors.New(strings.Join(s.Reasons, ", "))
}

// By returns the status with the plugin's name on it. Who has a status that is always the same
// names itself, so that it is not copied for each node.
func (s *Status) By(plugin string) *Status {
	if s == nil || s.Plugin == plugin {
		return s
	}
	c := *s
	c.Plugin = plugin
	return &c
}
