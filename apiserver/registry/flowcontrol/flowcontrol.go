// Package flowcontrol describes the kinds of flowcontrol.apiserver.k8s.io/v1: which requests
// go together and how many of them may be served at once. It owns the objects that every
// cluster has; that nothing is served by them yet is said to who changes them.
package flowcontrol

import (
	"fmt"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
)

// unenforced is said to everybody who makes or changes an object of this group.
const unenforced = "flow control is stored and not enforced: requests in flight are bounded by two numbers, for reading and for writing"

// Kinds returns the descriptors of the group.
func Kinds() []resource.Descriptor {
	return []resource.Descriptor{flowSchemas(), priorityLevels()}
}

func flowSchemas() resource.Descriptor {
	type schema = *flowcontrolv1.FlowSchema
	return kind.Describe(kind.Of[schema]{
		Singular: "flowschema",
		New:      func() schema { return &flowcontrolv1.FlowSchema{} },
		NewList:  func() runtime.Object { return &flowcontrolv1.FlowSchemaList{} },
		Defaults: defaultSchema,
		PrepareCreate: func(s schema) {
			s.Status = flowcontrolv1.FlowSchemaStatus{}
			s.Generation = 1
		},
		PrepareUpdate: func(s, old schema) {
			s.Status = old.Status
			if !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
				s.Generation = old.Generation + 1
			}
		},
		Validate: validateSchema,
		Warnings: func(s, old schema, isUpdate bool) []string {
			return warn(mandatorySchema(s.Name) != nil || isUpdate && equality.Semantic.DeepEqual(s.Spec, old.Spec))
		},
		UnconditionalUpdate: true,
		Columns:             schemaColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(s, old schema) { s.Spec = old.Spec }, validateSchemaStatus),
		},
	})
}

func warn(quiet bool) []string {
	if quiet {
		return nil
	}
	return []string{unenforced}
}

func schemaColumns() []kind.Column[*flowcontrolv1.FlowSchema] {
	type schema = *flowcontrolv1.FlowSchema
	return []kind.Column[schema]{
		kind.NameColumn[schema](),
		kind.TextColumn("PriorityLevel", "The level whose seats its requests take.", func(s schema) string { return s.Spec.PriorityLevelConfiguration.Name }),
		kind.CountColumn("MatchingPrecedence", "Of schemas that match, the one with the lowest number counts.", func(s schema) int64 { return int64(s.Spec.MatchingPrecedence) }),
		kind.TextColumn("DistinguisherMethod", "What tells its flows apart.", func(s schema) string {
			if s.Spec.DistinguisherMethod == nil {
				return kind.None
			}
			return string(s.Spec.DistinguisherMethod.Type)
		}),
		kind.AgeColumn[schema](),
		kind.TextColumn("MissingPL", "Whether its level does not exist.", func(s schema) string {
			for _, c := range s.Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
					return string(c.Status)
				}
			}
			return "?"
		}),
	}
}

func priorityLevels() resource.Descriptor {
	type level = *flowcontrolv1.PriorityLevelConfiguration
	return kind.Describe(kind.Of[level]{
		Singular: "prioritylevelconfiguration",
		New:      func() level { return &flowcontrolv1.PriorityLevelConfiguration{} },
		NewList:  func() runtime.Object { return &flowcontrolv1.PriorityLevelConfigurationList{} },
		Defaults: defaultLevel,
		PrepareCreate: func(l level) {
			l.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
			l.Generation = 1
		},
		PrepareUpdate: func(l, old level) {
			l.Status = old.Status
			if !equality.Semantic.DeepEqual(l.Spec, old.Spec) {
				l.Generation = old.Generation + 1
			}
		},
		Validate: validateLevel,
		Warnings: func(l, old level, isUpdate bool) []string {
			return warn(mandatoryLevel(l.Name) != nil || isUpdate && equality.Semantic.DeepEqual(l.Spec, old.Spec))
		},
		UnconditionalUpdate: true,
		Columns:             levelColumns(),
		Subresources: []resource.Subresource{
			kind.StatusOf(func(l, old level) { l.Spec = old.Spec }, validateLevelStatus),
		},
	})
}

func levelColumns() []kind.Column[*flowcontrolv1.PriorityLevelConfiguration] {
	type level = *flowcontrolv1.PriorityLevelConfiguration
	queuing := func(name, description string, value func(*flowcontrolv1.QueuingConfiguration) int32) kind.Column[level] {
		return kind.TextColumn(name, description, func(l level) string {
			if l.Spec.Limited == nil || l.Spec.Limited.LimitResponse.Queuing == nil {
				return kind.None
			}
			return fmt.Sprint(value(l.Spec.Limited.LimitResponse.Queuing))
		})
	}
	return []kind.Column[level]{
		kind.NameColumn[level](),
		kind.TextColumn("Type", "Whether its requests are limited.", func(l level) string { return string(l.Spec.Type) }),
		kind.TextColumn("NominalConcurrencyShares", "Its share of the server's seats.", func(l level) string {
			switch {
			case l.Spec.Limited != nil && l.Spec.Limited.NominalConcurrencyShares != nil:
				return fmt.Sprint(*l.Spec.Limited.NominalConcurrencyShares)
			case l.Spec.Exempt != nil && l.Spec.Exempt.NominalConcurrencyShares != nil:
				return fmt.Sprint(*l.Spec.Exempt.NominalConcurrencyShares)
			}
			return kind.None
		}),
		queuing("Queues", "How many queues it has.", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.Queues }),
		queuing("HandSize", "To how many of them a flow is dealt.", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.HandSize }),
		queuing("QueueLengthLimit", "How many requests may wait in one.", func(q *flowcontrolv1.QueuingConfiguration) int32 { return q.QueueLengthLimit }),
		kind.AgeColumn[level](),
	}
}

// What is not said of a schema or a level.
const (
	defaultPrecedence  = 1000
	defaultShares      = 30
	defaultQueues      = 64
	defaultHandSize    = 8
	defaultQueueLength = 50
)

func defaultSchema(s *flowcontrolv1.FlowSchema) {
	if s.Spec.MatchingPrecedence == 0 {
		s.Spec.MatchingPrecedence = defaultPrecedence
	}
}

func defaultLevel(l *flowcontrolv1.PriorityLevelConfiguration) {
	if e := l.Spec.Exempt; e != nil {
		kind.SetDefault(&e.NominalConcurrencyShares, 0)
		kind.SetDefault(&e.LendablePercent, 0)
	}
	limited := l.Spec.Limited
	if limited == nil {
		return
	}
	kind.SetDefault(&limited.NominalConcurrencyShares, defaultShares)
	kind.SetDefault(&limited.LendablePercent, 0)
	if q := limited.LimitResponse.Queuing; q != nil {
		for _, number := range []struct {
			field *int32
			value int32
		}{{&q.Queues, defaultQueues}, {&q.HandSize, defaultHandSize}, {&q.QueueLengthLimit, defaultQueueLength}} {
			if *number.field == 0 {
				*number.field = number.value
			}
		}
	}
}
