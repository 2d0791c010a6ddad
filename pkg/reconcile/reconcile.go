// Package reconcile is the loop that every controller shares: informer events become
// keys in a rate-limited queue, workers take keys one at a time and call Reconcile.
// One key is never reconciled by two workers at once.
package reconcile

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Key names what is to be reconciled.
type Key = types.NamespacedName

// Result says when to look at the key again although nothing happened.
type Result struct {
	After time.Duration // 0: only when an event comes
}

// Reconciler brings one key's state nearer to what is desired. It compares whole states
// and never asks which event woke it. A returned error is logged and retried with back-off;
// a conflict is retried quietly.
type Reconciler interface {
	Reconcile(ctx context.Context, key Key) (Result, error)
}

// Stub signatures; the bodies follow.

// Config tunes a Loop; zero fields have defaults.
type Config struct{}

// Loop drives one Reconciler.
type Loop struct{}

func New(name string, r Reconciler, cfg Config) *Loop { panic("stub") }
func Watch[T api.Object](l *Loop, inf *client.Informer[T], keys func(old, obj T) []Key) {
	panic("stub")
}
func (l *Loop) Enqueue(key Key)               { panic("stub") }
func (l *Loop) Run(ctx context.Context) error { panic("stub") }
