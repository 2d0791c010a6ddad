package node

import (
	"testing"

	nodev1 "k8s.io/api/node/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestRuntimeClasses(t *testing.T) {
	for _, c := range []struct {
		name, text, reason string
		want               []string
	}{
		{"good", "{handler: runc, overhead: {podFixed: {cpu: 10m, memory: 1Mi}}, scheduling: {nodeSelector: {a: b}, tolerations: [{key: a, operator: Exists}]}}", "all fields", nil},
		{"no handler", "{}", "a handler is a DNS label", []string{"handler: Invalid value: \"\""}},
		{"overhead", "{handler: a, overhead: {podFixed: {cpu: -1, elephants: 1}}}", "what pods can ask for",
			[]string{"overhead.podFixed[cpu]: Invalid value: \"-1\"", "overhead.podFixed[elephants]: Invalid value"}},
		{"scheduling", "{handler: a, scheduling: {nodeSelector: {'a b': c}, tolerations: [{operator: Equal}, {key: a}, {key: a}]}}", "as in a pod; each toleration once",
			[]string{"scheduling.nodeSelector: Invalid value: \"a b\"", "scheduling.tolerations[0].operator: Invalid value", "scheduling.tolerations[2]: Duplicate value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateRuntimeClass(kindtest.From[nodev1.RuntimeClass](t, c.text)), c.want...)
		})
	}
}
