package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// state is what the model knows of an object. Its fields are a ConfigMap's data and a
// Deployment's annotations; owners says who manages which of them.
type state struct {
	Kind       string
	Revision   string
	UID        string
	Fields     map[string]string
	Color      string // the label that selectors look at
	Finalizers []string
	Deleting   bool
	Generation int64
	Replicas   int32 // of a Deployment, as is the next
	Status     int64
	Owners     map[string][]string // by field, sorted; "manager/Apply" or "manager/Update"
	// StatusOwners are those of Status.
	StatusOwners []string
}

// colorLabel is what objects are selected by.
const colorLabel = "color"

// stateOf reads what the model knows from a real object.
func stateOf(obj api.Object) *state {
	s := &state{
		Revision: obj.GetResourceVersion(), UID: string(obj.GetUID()), Color: obj.GetLabels()[colorLabel],
		Finalizers: obj.GetFinalizers(), Deleting: obj.GetDeletionTimestamp() != nil, Generation: obj.GetGeneration(),
	}
	parent := "f:data"
	switch o := obj.(type) {
	case *corev1.ConfigMap:
		s.Kind, s.Fields = "ConfigMap", o.Data
	case *appsv1.Deployment:
		s.Kind, s.Fields, parent = "Deployment", o.Annotations, "f:annotations"
		s.Replicas, s.Status = *o.Spec.Replicas, o.Status.ObservedGeneration
	}
	s.Owners = ownersOf(obj.GetManagedFields(), "", parent)
	s.StatusOwners = ownersOf(obj.GetManagedFields(), "status", "f:status")["observedGeneration"]
	return s.copy()
}

func ownersOf(entries []metav1.ManagedFieldsEntry, subresource, parent string) map[string][]string {
	owners := map[string][]string{}
	for _, e := range entries {
		if e.Subresource != subresource || e.FieldsV1 == nil {
			continue // the fields are not written through others
		}
		var set map[string]any
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &set) != nil {
			continue
		}
		if parent == "f:annotations" {
			set, _ = set["f:metadata"].(map[string]any)
		}
		below, _ := set[parent].(map[string]any)
		for name := range below {
			if field, ok := strings.CutPrefix(name, "f:"); ok {
				owners[field] = append(owners[field], e.Manager+"/"+string(e.Operation))
			}
		}
	}
	for _, who := range owners {
		slices.Sort(who)
	}
	return owners
}

func (s *state) copy() *state {
	c := *s
	c.StatusOwners = slices.Clone(s.StatusOwners)
	c.Fields, c.Finalizers, c.Owners = maps.Clone(s.Fields), slices.Clone(s.Finalizers), map[string][]string{}
	if c.Fields == nil {
		c.Fields = map[string]string{}
	}
	for field, who := range s.Owners {
		c.Owners[field] = slices.Clone(who)
	}
	return &c
}

// text shows everything but what the server chooses, so that states can be compared.
func (s *state) text() string {
	if s == nil {
		return "nothing"
	}
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		fields = append(fields, fmt.Sprintf("%s=%q%v", name, s.Fields[name], s.Owners[name]))
	}
	for field := range s.Owners {
		if _, has := s.Fields[field]; !has {
			fields = append(fields, fmt.Sprintf("%s is gone but owned by %v", field, s.Owners[field]))
		}
	}
	return fmt.Sprintf("%s %v color=%s finalizers=%v deleting=%v generation=%d replicas=%d status=%d%v",
		s.Kind, fields, s.Color, s.Finalizers, s.Deleting, s.Generation, s.Replicas, s.Status, s.StatusOwners)
}

func (s *state) owns(field, who string) bool { return slices.Contains(s.Owners[field], who) }

func (s *state) own(field, who string) {
	if !s.owns(field, who) {
		s.Owners[field] = append(s.Owners[field], who)
		slices.Sort(s.Owners[field])
	}
}

func (s *state) disown(field, who string) {
	s.Owners[field] = slices.DeleteFunc(s.Owners[field], func(w string) bool { return w == who })
	if len(s.Owners[field]) == 0 {
		delete(s.Owners, field)
	}
}

// set gives a field a value that who wrote; others who had it at another value lose it.
func (s *state) set(field, value, who string) {
	if old, had := s.Fields[field]; !had || old != value {
		s.Fields[field], s.Owners[field] = value, []string{who}
	}
}

func (s *state) unset(field string) {
	delete(s.Fields, field)
	delete(s.Owners, field)
}
