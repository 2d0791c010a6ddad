package node

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/kubelet/container"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func config() Config {
	return Config{
		Name: "n1", Logger: slog.New(slog.DiscardHandler), IPs: []string{"10.89.0.2"}, Labels: map[string]string{"zone": "a"},
		Capacity: corev1.ResourceList{"cpu": resource.MustParse("2")},
		Measure: func() (Pressure, error) {
			return Pressure{MemoryFree: 1 << 30, DiskFree: 50 << 30, DiskSize: 100 << 30}, nil
		},
	}
}

func start(t *testing.T, server *clienttest.Server, cfg Config) *Node {
	informers := clienttest.NewInformers(t, server)
	n, err := New(server, informers, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	clienttest.RunInformers(t, informers)
	clienttest.Run(t, n.Run)
	return n
}

func TestRegistersAndBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clienttest.NewServer(t)
		var ready atomic.Bool
		cfg := config()
		cfg.Ready = func() error {
			if !ready.Load() {
				return errors.New("no network yet")
			}
			return nil
		}
		cfg.Images = func(context.Context) ([]container.Image, error) {
			return []container.Image{{ID: "a", RepoTags: []string{"x:1"}, Size: 7}}, nil
		}
		start(t, server, cfg)
		synctest.Wait()
		nodes := client.Of[*corev1.Node](server)
		node, err := nodes.Get(t.Context(), "", "n1")
		if err != nil {
			t.Fatal(err)
		}
		if node.Labels[corev1.LabelHostname] != "n1" || node.Labels["zone"] != "a" || node.Status.Capacity.Cpu().Value() != 2 {
			t.Errorf("registered as %v with %v", node.Labels, node.Status.Capacity)
		}
		if api.IsNodeReady(node) {
			t.Error("ready without a network")
		}
		ready.Store(true)
		time.Sleep(time.Second)
		if node, _ = nodes.Get(t.Context(), "", "n1"); !api.IsNodeReady(node) || len(node.Status.Images) != 1 {
			t.Errorf("not ready within a second: %v", node.Status.Conditions)
		}
		version := node.ResourceVersion
		lease := func() time.Time {
			l, err := client.Of[*coordinationv1.Lease](server).Get(t.Context(), corev1.NamespaceNodeLease, "n1")
			if err != nil {
				t.Fatal(err)
			}
			return l.Spec.RenewTime.Time
		}
		before := lease()
		time.Sleep(21 * time.Second)
		if got := lease().Sub(before); got != 20*time.Second {
			t.Errorf("the lease was renewed %s later, want 20s", got)
		}
		if node, _ = nodes.Get(t.Context(), "", "n1"); node.ResourceVersion != version {
			t.Error("the status was written although nothing changed")
		}
		time.Sleep(5 * time.Minute)
		if node, _ = nodes.Get(t.Context(), "", "n1"); node.ResourceVersion == version {
			t.Error("the status was not written for five minutes")
		}
	})
}

func TestRegistersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clienttest.NewServer(t)
		start(t, server, config())
		time.Sleep(time.Second)
		nodes := client.Of[*corev1.Node](server)
		if err := nodes.Delete(t.Context(), "", "n1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := nodes.Get(t.Context(), "", "n1"); err != nil {
			t.Errorf("not registered again: %v", err)
		}
	})
}

func TestRefusesAnothersName(t *testing.T) {
	cfg := config()
	cfg.Identity = "system:node:other"
	server := clienttest.NewServer(t)
	if _, err := New(server, clienttest.NewInformers(t, server), nil, cfg); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("credentials of another node were accepted: %v", err)
	}
	server.FailWith(func(verb string, _ client.Request) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "n1", errors.New("not you"))
	})
	n, err := New(server, clienttest.NewInformers(t, server), nil, config())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not let these credentials speak for node") {
		t.Errorf("Run ended with %v", err)
	}
}

func TestConditions(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    observed
		want string
	}{
		{"fine", observed{pressure: Pressure{MemoryFree: 1 << 30, DiskFree: 50 << 30, DiskSize: 100 << 30}}, "Ready"},
		{"little memory", observed{pressure: Pressure{MemoryFree: 50 << 20, DiskFree: 50 << 30, DiskSize: 100 << 30}}, "MemoryPressure Ready"},
		{"a small share of a large disk", observed{pressure: Pressure{MemoryFree: 1 << 30, DiskFree: 5 << 30, DiskSize: 1000 << 30}}, "Ready"},
		{"full disk", observed{pressure: Pressure{MemoryFree: 1 << 30, DiskFree: 1 << 30, DiskSize: 100 << 30}}, "DiskPressure Ready"},
		{"no PIDs", observed{pressure: Pressure{MemoryFree: 1 << 30, DiskFree: 50 << 30, DiskSize: 100 << 30, PIDs: 99, MaxPIDs: 100}}, "PIDPressure Ready"},
		{"runtime away", observed{notReady: errors.New("away"), pressure: Pressure{MemoryFree: 1 << 30, DiskFree: 50 << 30}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := config().status(&corev1.NodeStatus{}, tc.o, time.Unix(0, 0))
			var got []string
			for _, c := range s.Conditions {
				if c.Status == corev1.ConditionTrue {
					got = append(got, string(c.Type))
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("true conditions %v, want %q", got, tc.want)
			}
		})
	}
}

// TestExtendedResourcesStay proves that what somebody else advertises stays, and may be used:
// https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/
func TestExtendedResourcesStay(t *testing.T) {
	cfg := config()
	cfg.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("1")}
	old := &corev1.NodeStatus{Capacity: corev1.ResourceList{"cpu": resource.MustParse("8"), "example.com/dongle": resource.MustParse("4"), "pods": resource.MustParse("5")}}
	s := cfg.status(old, observed{}, time.Unix(0, 0))
	capacity, allocatable := s.Capacity["example.com/dongle"], s.Allocatable["example.com/dongle"]
	if capacity.Value() != 4 || allocatable.Value() != 4 {
		t.Errorf("capacity %v, allocatable %v", s.Capacity, s.Allocatable)
	}
	if s.Capacity.Cpu().Value() != 2 || s.Allocatable.Cpu().Value() != 1 || len(s.Capacity) != 2 {
		t.Errorf("what the machine has is not up to others: %v, %v", s.Capacity, s.Allocatable)
	}
}
