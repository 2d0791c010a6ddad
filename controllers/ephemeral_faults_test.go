package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/controllers/control"
	"github.com/miniorch/miniorch/controllers/controllertest"
	"github.com/miniorch/miniorch/controllers/ephemeralvolume"
	"github.com/miniorch/miniorch/controllers/flowschema"
	"github.com/miniorch/miniorch/pkg/client"
)

// A pod has the claims of its ephemeral volumes, each once, again when one goes, and never somebody else's.
func TestEphemeralVolumesUnderFaults(t *testing.T) {
	claims := func(w *world) string {
		var out []string
		for _, c := range list[*corev1.PersistentVolumeClaim](w, "default", "") {
			owner := "nobody"
			if ref := metav1.GetControllerOf(c); ref != nil {
				owner = ref.Name
			}
			out = append(out, c.Name+" of "+owner)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	spec := corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
	}
	want := "p-a of p, p-b of p, q-a of nobody, q-b of q"
	controllertest.Faults(t, controllertest.Trial{
		Name: "made, taken, another's", Leaders: 2, Want: want,
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return ephemeralvolume.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			create(w, &corev1.PersistentVolumeClaim{ObjectMeta: meta("default", "q-a"), Spec: spec})
			for _, name := range []string{"p", "q"} {
				p := &corev1.Pod{ObjectMeta: meta("default", name), Spec: template("v1").Spec}
				for _, volume := range []string{"a", "b"} {
					p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
						Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: spec}},
					}})
				}
				create(w, p)
			}
		},
		Acts: acts(func(w *world) {
			edit(w, "default", "p-b", func(c *corev1.PersistentVolumeClaim) { c.Finalizers = nil })
			remove[*corev1.PersistentVolumeClaim](w, "default", "p-b", metav1.DeletePropagationBackground)
		}),
		AtRest: func(stage *controllertest.World) bool { return claims(&world{stage}) == want },
		State:  func(stage *controllertest.World) string { return claims(&world{stage}) },
	})
}

// A FlowSchema says whether its level is there, as levels come and go.
func TestFlowSchemasUnderFaults(t *testing.T) {
	dangles := func(w *world) string {
		var out []string
		for _, s := range list[*flowcontrolv1.FlowSchema](w, "", "") {
			for _, c := range s.Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling && strings.HasPrefix(s.Name, "of-") {
					out = append(out, fmt.Sprint(s.Name, "=", c.Status))
				}
			}
		}
		return strings.Join(out, " ")
	}
	rests := []string{"of-one=False of-two=True", "of-one=True of-two=False"}
	act := 0
	level := func(w *world, name string) {
		create(w, &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: meta("", name), Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject},
			},
		}})
	}
	controllertest.Faults(t, controllertest.Trial{
		Name: "one goes, the other comes", Leaders: 2, Want: rests[1],
		Controllers: []controllertest.Make{func(t client.Transport, i *client.Informers, cfg control.Config) controllertest.Runner {
			return flowschema.New(t, i, cfg)
		}},
		Begin: func(stage *controllertest.World) {
			w := &world{stage}
			act = 0
			level(w, "one")
			for _, name := range []string{"one", "two"} {
				create(w, &flowcontrolv1.FlowSchema{ObjectMeta: meta("", "of-"+name), Spec: flowcontrolv1.FlowSchemaSpec{
					PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: name}, MatchingPrecedence: 100,
				}})
			}
		},
		Acts: acts(func(w *world) {
			act = 1
			remove[*flowcontrolv1.PriorityLevelConfiguration](w, "", "one", metav1.DeletePropagationBackground)
			level(w, "two")
		}),
		AtRest: func(stage *controllertest.World) bool { return dangles(&world{stage}) == rests[act] },
		State:  func(stage *controllertest.World) string { return dangles(&world{stage}) },
	})
}
