package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func serviceAccounts() resource.Descriptor {
	return kind.Describe(kind.Of[*corev1.ServiceAccount]{
		Singular:   "serviceaccount",
		ShortNames: []string{"sa"},
		New:        func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} },
		NewList:    func() runtime.Object { return &corev1.ServiceAccountList{} },
		Columns: []kind.Column[*corev1.ServiceAccount]{
			kind.NameColumn[*corev1.ServiceAccount](),
			kind.CountColumn("Secrets", "How many secrets pods under this account may use.",
				func(sa *corev1.ServiceAccount) int64 { return int64(len(sa.Secrets)) }),
			kind.AgeColumn[*corev1.ServiceAccount](),
		},
		Subresources: []resource.Subresource{{
			Name: "token", Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest", Verbs: []string{"create"},
		}},
	})
}
