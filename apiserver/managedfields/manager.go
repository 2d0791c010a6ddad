package managedfields

import (
	"context"
	"strings"
	"unicode"
)

// maxManager is how long the name of a manager may be.
const maxManager = 128

type agentKey struct{}

// WithAgent remembers which program sends a request, as its User-Agent header says.
func WithAgent(ctx context.Context, agent string) context.Context {
	return context.WithValue(ctx, agentKey{}, agent)
}

// Manager returns the name under which a write is remembered: the one that the client gives,
// else that of its program, else that of its user.
func Manager(ctx context.Context, given, user string) string {
	if given != "" {
		return given
	}
	if agent, ok := ctx.Value(agentKey{}).(string); ok {
		name, _, _ := strings.Cut(agent, "/")
		if name = printable(name); name != "" {
			return name
		}
	}
	if user = printable(strings.TrimPrefix(user, "system:")); user != "" {
		return user
	}
	return "unknown"
}

// printable cuts name to what may stand in an entry.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	for len(name) > maxManager {
		cut := strings.LastIndexFunc(name[:maxManager], func(rune) bool { return true })
		name = name[:cut]
	}
	return name
}
