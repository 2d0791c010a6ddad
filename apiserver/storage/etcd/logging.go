package etcd

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapOn returns a zap logger that writes to l what etcd has to say. etcd's information is
// our debugging: it tells its whole configuration at every start.
func zapOn(l *slog.Logger) *zap.Logger {
	return zap.New(&core{log: l.With("component", "etcd")})
}

// noise is what etcd warns of although it is as it should be.
var noise = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"simple token is not cryptographically signed":                                         true, // nobody has a token
	// It looks before the first entry has been applied, and looks again later.
	"Failed to detect schema version":       true,
	"failed to update storage version":      true,
	"server has stopped; skipping GoAttach": true, // a quick end
	"retrying of unary invoker failed":      true, // the caller gets the error
}

// core is a zapcore.Core on slog.
type core struct{ log *slog.Logger }

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func levelOfEntry(e zapcore.Entry) slog.Level {
	if noise[e.Message] {
		return slog.LevelDebug
	}
	return levelOf(e.Level)
}

// Enabled tells whether anybody reads the level.
func (c *core) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), levelOf(l))
}

// With returns a core whose entries carry the fields.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log.With(attrs(fields)...)}
}

// Check adds the core to an entry that it will write.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.log.Enabled(context.Background(), levelOfEntry(e)) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write passes an entry on.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), levelOfEntry(e), e.Message, attrs(fields)...)
	return nil
}

// Sync has nothing to do.
func (c *core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	out := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		f.AddTo(enc)
		out = append(out, f.Key, enc.Fields[f.Key])
	}
	return out
}
