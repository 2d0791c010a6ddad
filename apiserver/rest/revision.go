package rest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// freshnessTimeout is how long a read waits for the cache to catch up with the store.
const freshnessTimeout = 3 * time.Second

// parseRevision reads a resourceVersion; empty is 0.
func parseRevision(rv string) (int64, error) {
	if rv == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(rv, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q: %v", rv, err))
	}
	return int64(n), nil
}

func formatRevision(rev int64) string { return strconv.FormatInt(rev, 10) }

// catchUp waits until the cache is as new as a read with this resourceVersion demands: as
// the store is now for "", as anything for "0".
func (s *Store) catchUp(ctx context.Context, rv string) error {
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	rev, err := parseRevision(rv)
	if err != nil || rv == "0" {
		return err
	}
	if rev != 0 && rev <= s.cache.Revision() {
		return nil
	}
	now, err := s.reg.storage.Revision(ctx)
	if err != nil {
		return s.storageError(err)
	}
	if rev > now {
		return tooLarge(rev, now)
	}
	if rev == 0 {
		rev = now
	}
	return s.waitFor(ctx, rev)
}

func (s *Store) waitFor(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, freshnessTimeout)
	defer cancel()
	err := s.cache.WaitFor(ctx, rev)
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return tooLarge(rev, s.cache.Revision())
	}
	return s.storageError(err)
}

// tooLarge is the answer to a revision that has not been reached yet; clients know it by
// its cause and try again.
func tooLarge(asked, now int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", asked, now), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type:    metav1.CauseTypeResourceVersionTooLarge,
		Message: "Too large resource version",
	}}
	return err
}
