package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/resource"
)

func serviceAccounts() resource.Descriptor {
	return describe(kind[*corev1.ServiceAccount]{
		singular:   "serviceaccount",
		shortNames: []string{"sa"},
		new:        func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} },
		newList:    func() runtime.Object { return &corev1.ServiceAccountList{} },
		columns: []column[*corev1.ServiceAccount]{
			nameColumn[*corev1.ServiceAccount](),
			countColumn("Secrets", "How many secrets pods under this account may use.",
				func(sa *corev1.ServiceAccount) int64 { return int64(len(sa.Secrets)) }),
			ageColumn[*corev1.ServiceAccount](),
		},
		subresources: []resource.Subresource{{
			Name: "token", Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest", Verbs: []string{"create"},
		}},
	})
}
