// Package replicaset keeps as many pods alive as each ReplicaSet asks for. How is in
// package replicas; here is only what a ReplicaSet is.
package replicaset

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/replicas"
	"github.com/miniorch/miniorch/pkg/client"
)

// Controller reconciles ReplicaSets.
type Controller = replicas.Controller[*appsv1.ReplicaSet]

// New wires the controller; Run starts it.
func New(t client.Transport, informers *client.Informers, cfg control.Config) *Controller {
	return replicas.New(t, informers, replicas.Shape[*appsv1.ReplicaSet]{
		Name: "replicaset",
		Kind: appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
		View: func(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet { return rs },
		WithStatus: func(rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) *appsv1.ReplicaSet {
			rs = rs.DeepCopy()
			rs.Status = status
			return rs
		},
	}, cfg)
}
