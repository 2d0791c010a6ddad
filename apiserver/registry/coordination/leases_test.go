package coordination

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

func TestLeases(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{holderIdentity: a, leaseDurationSeconds: 15, leaseTransitions: 0}", nil},
		{"no time", "{leaseDurationSeconds: 0}", []string{"spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"}},
		{"transitions", "{leaseTransitions: -1}", []string{"spec.leaseTransitions: Invalid value: -1"}},
		{"strategy", "{strategy: Loudest}", []string{"spec.strategy: Unsupported value"}},
		{"preference", "{preferredHolder: a}", []string{"spec.preferredHolder: Forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validateLease(kindtest.From[coordinationv1.Lease](t, "spec: "+c.spec)), c.want...)
		})
	}
}
