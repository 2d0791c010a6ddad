package controllers

//lint:file-ignore SA1019 Endpoints made by hand are what this is about.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/endpointslicemirroring"
	"github.com/miniorch/miniorch/pkg/client"
)

// mirrors tells the addresses in the slices of a Service, sorted.
func (w *world) mirrors(service string) string {
	var out []string
	for _, s := range list[*discoveryv1.EndpointSlice](w, "default", discoveryv1.LabelServiceName+"="+service) {
		for _, e := range s.Endpoints {
			out = append(out, fmt.Sprintf("%s:%d", e.Addresses[0], *s.Ports[0].Port))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func handMade(ports ...int32) *corev1.Endpoints {
	e := &corev1.Endpoints{ObjectMeta: meta("default", "db")}
	for i, p := range ports {
		e.Subsets = append(e.Subsets, corev1.EndpointSubset{
			Addresses: []corev1.EndpointAddress{{IP: fmt.Sprintf("10.1.2.%d", i+3)}}, Ports: []corev1.EndpointPort{{Name: "p", Port: p, Protocol: "TCP"}},
		})
	}
	return e
}

// What stands in hand-made Endpoints stands in slices, whatever becomes of the controller.
func TestMirroringUnderFaults(t *testing.T) {
	want := ""
	controllertest.Faults(t, controllertest.Trial{
		Name: "made, changed, gone", Leaders: 2,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return endpointslicemirroring.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			create(w, &corev1.Service{ObjectMeta: meta("default", "db"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
			create(w, handMade(80, 81))
			want = "10.1.2.3:80 10.1.2.4:81"
		},
		Acts: []func(*controllertest.World){
			func(stage *controllertest.World) {
				edit(&world{stage}, "default", "db", func(e *corev1.Endpoints) { e.Subsets = handMade(80, 90, 91).Subsets })
				want = "10.1.2.3:80 10.1.2.4:90 10.1.2.5:91"
			},
			func(stage *controllertest.World) {
				remove[*corev1.Endpoints](&world{stage}, "default", "db", metav1.DeletePropagationOrphan)
				edit(&world{stage}, "default", "db", func(s *corev1.Service) { s.Labels = map[string]string{"seen": "yes"} })
				want = ""
			},
		},
		AtRest: func(stage *controllertest.World) bool {
			w := &world{stage}
			if want == "" { // the collector, which takes orphans' finalizer off, does not run here
				for _, e := range list[*corev1.Endpoints](w, "default", "") {
					if e.DeletionTimestamp != nil {
						edit(w, "default", e.Name, func(e *corev1.Endpoints) { e.Finalizers = nil })
					}
				}
			}
			return w.mirrors("db") == want
		},
		State: func(stage *controllertest.World) string { return "mirrored: " + (&world{stage}).mirrors("db") },
	})
}

func TestServicesThatSelectAreNotMirrored(t *testing.T) {
	inWorld(t, 1, nil, func(w *world) {
		create(w, &corev1.Service{ObjectMeta: meta("default", "db"), Spec: corev1.ServiceSpec{Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		w.Tick(5 * time.Second)
		for _, s := range list[*discoveryv1.EndpointSlice](w, "default", discoveryv1.LabelServiceName+"=db") {
			if s.Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" {
				t.Errorf("a slice by %s", s.Labels[discoveryv1.LabelManagedBy])
			}
		}
	})
}
