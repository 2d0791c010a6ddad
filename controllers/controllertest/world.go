// Package controllertest is the stage on which controllers are tested: a real API server in
// the test's process, play-acted machines that bind, start and end pods, virtual time, and
// the transports of clienttest that make views stale, writes fail and processes die. Faults puts a
// controller through a story with all of these and wants the end of the run without faults.
package controllertest

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/apiservertest"
	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
	"github.com/miniorch/miniorch/pkg/decision"
)

// AdminToken is what World.Handler takes in an Authorization header.
const AdminToken = "admin"

// World is a real API server with play-acted machines, in virtual time.
type World struct {
	*testing.T
	Server    *apiserver.Server
	Admin     client.Transport
	Handler   http.Handler // takes AdminToken
	Machines  *Machines
	Decisions *decision.Log // of all controllers that the world runs
}

// In runs test in a synctest bubble with so many machines, and no controllers: the service
// account that pods need in the default namespace is there unless accounts is false.
func In(t *testing.T, nodes int, accounts bool, test func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := apiservertest.Start(t, apiservertest.WithoutServiceAccount(), apiservertest.WithConfig(func(c *apiserver.Config) {
			c.StaticTokens = map[string]auth.User{AdminToken: auth.Admin()}
		}))
		w := &World{T: t, Server: server, Admin: server.Client(auth.Admin()), Handler: server.Handler(), Decisions: decision.NewLog(10000)}
		w.Machines = newMachines(t, w.Admin, nodes)
		if accounts {
			apiservertest.AddServiceAccount(t, server, metav1.NamespaceDefault)
		}
		clienttest.Run(t, w.Machines.Run)
		test(w)
	})
}

// API returns a transport that may do everything.
func (w *World) API() client.Transport { return w.Admin }

// As returns a transport with the rights of the controllers.
func (w *World) As() client.Transport {
	return w.Server.Client(auth.Component(auth.UserControllerManager))
}

// Tick lets time pass.
func (w *World) Tick(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Runner is a controller.
type Runner interface {
	Run(ctx context.Context) error
}

// Make wires one controller.
type Make func(t client.Transport, informers *client.Informers, cfg control.Config) Runner

// Start runs controllers as one process of their own, on their own informers, until stop is
// called or the transport dies.
func (w *World) Start(t client.Transport, makes ...Make) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	informers := clienttest.NewInformers(w, t)
	cfg := control.Config{Logger: slog.New(slog.DiscardHandler), Decisions: w.Decisions}
	var runners []Runner
	for _, m := range makes {
		runners = append(runners, m(t, informers, cfg))
	}
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Run(ctx) })
	running.Go(func() {
		if informers.WaitForSync(ctx) != nil {
			return
		}
		for _, r := range runners {
			running.Go(func() { _ = r.Run(ctx) })
		}
	})
	if m, ok := t.(*clienttest.Mortal); ok {
		running.Go(func() {
			select {
			case <-m.Died():
				cancel()
			case <-ctx.Done():
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// LogDecisions prints what was decided, if the test has failed.
func (w *World) LogDecisions() {
	if !w.Failed() {
		return
	}
	for _, r := range w.Decisions.Since(0) {
		w.Log(r.Time.Format("04:05.000"), r.Component, r.Object.Name, r.Plan, r.Error)
	}
}

// Events returns what was told to users for a reason, as "object: message".
func (w *World) Events(reason string) []string {
	var out []string
	for _, e := range List[*corev1.Event](w, "", "") {
		if e.Reason == reason {
			out = append(out, e.InvolvedObject.Name+": "+e.Message)
		}
	}
	return out
}
