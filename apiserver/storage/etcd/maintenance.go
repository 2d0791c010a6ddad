package etcd

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// How the embedded member's file is looked after. Compaction (EmbeddedConfig.CompactEvery)
// drops old revisions, but the file keeps their space, for new ones. Only defragmenting
// gives it back, and nobody is served meanwhile, so that it must be worth it.
const (
	careInterval = 10 * time.Minute
	// worthwhile is how much free space, at least, is worth the interruption.
	worthwhile = 64 << 20
)

// Maintain gives the file's free space back whenever there is much of it, until ctx ends.
func (e *Embedded) Maintain(ctx context.Context, clk clock.WithTicker) error {
	return e.maintain(ctx, clk, worthwhile)
}

func (e *Embedded) maintain(ctx context.Context, clk clock.WithTicker, worthwhile int64) error {
	ticker := clk.NewTicker(careInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		file, used := e.Size()
		if !fragmented(file, used, e.quota, worthwhile) {
			continue
		}
		began := clk.Now()
		if err := e.Defragment(); err != nil {
			return err
		}
		now, _ := e.Size()
		e.logger.Info("etcd's file has been defragmented", "before", file, "after", now, "took", clk.Since(began))
	}
}

// fragmented decides whether a file, of which so much is used, should be made smaller. The
// quota counts free space as well: near to it, less is worth the interruption.
func fragmented(file, used, quota, worthwhile int64) bool {
	free := file - used
	if file > quota/4*3 {
		return free > file/10
	}
	return free >= worthwhile && free > file/2
}
