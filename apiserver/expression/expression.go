// Package expression reads the CEL expressions that admission policies, webhooks and device
// selectors are made of, and refuses those that could never be evaluated: wrong syntax, names
// that are not there, types that do not fit. It knows what Kubernetes lets an expression mention
// and evaluates nothing.
package expression

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// Scope is what an expression of one place may mention. It is immutable.
type Scope struct {
	env   *cel.Env
	types structs
}

// Kind is what an expression has to evaluate to.
type Kind struct {
	words string
	any   []*cel.Type
}

// What expressions have to evaluate to.
var (
	Anything     = Kind{}
	Bool         = Kind{"must evaluate to bool", []*cel.Type{cel.BoolType}}
	String       = Kind{"must evaluate to string", []*cel.Type{cel.StringType}}
	StringOrNull = Kind{"must evaluate to one of [string null_type]", []*cel.Type{cel.StringType, cel.NullType}}
	Object       = Kind{"must evaluate to Object", []*cel.Type{cel.ObjectType(objectType)}}
	Patches      = Kind{"must evaluate to list(JSONPatch)", []*cel.Type{cel.ListType(cel.ObjectType(patchType)), cel.ListType(cel.DynType)}}
)

// Check tells what is wrong with an expression of this place, and the type of one that is right.
func (s Scope) Check(text string, want Kind) (*cel.Type, error) {
	ast, issues := s.env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("compilation failed: %w", err)
	}
	is := ast.OutputType()
	for _, t := range want.any {
		if is.IsExactType(t) || is.IsExactType(cel.DynType) || is.IsExactType(cel.AnyType) {
			return is, nil
		}
	}
	if len(want.any) > 0 {
		return nil, errors.New(want.words)
	}
	return is, nil
}

// With adds a variable, by the name "variables.<name>", for the expressions that follow.
func (s Scope) With(name string, of *cel.Type) (Scope, error) {
	types := s.types.with(variablesType, name, of)
	env, err := s.env.Extend(cel.CustomTypeProvider(types))
	return Scope{env: env, types: types}, err
}

// base has what every place has: the language, and Kubernetes' functions.
var base = sync.OnceValue(func() Scope {
	types := newStructs()
	options := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		ext.Strings(ext.StringsVersion(2)), ext.Sets(), ext.TwoVarComprehensions(),
		cel.CustomTypeProvider(types),
	}
	return Scope{types: types}.extend(append(options, functions()...)...)
})

// extend is for what the program itself brings: that it fits is for the tests to see.
func (s Scope) extend(options ...cel.EnvOption) Scope {
	var err error
	if s.env == nil {
		s.env, err = cel.NewEnv(options...)
	} else {
		s.env, err = s.env.Extend(options...)
	}
	if err != nil {
		panic("expression: " + err.Error())
	}
	return s
}

// Request is the scope of an expression about a request that is being admitted: of a webhook's
// conditions and of a policy without parameters.
var Request = sync.OnceValue(func() Scope {
	return base().extend(
		cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType),
		cel.Variable("request", cel.ObjectType(requestType)),
		cel.Variable("authorizer", authorizer), cel.Variable("authorizer.requestResource", resourceCheck),
	)
})

// Policy is the scope of a policy's expressions; its variables are added as they are declared.
var Policy = sync.OnceValue(func() Scope {
	return Request().extend(cel.Variable("namespaceObject", cel.ObjectType(namespaceType)), cel.Variable("variables", cel.ObjectType(variablesType)))
})

// PolicyOfKind is Policy for one that has parameters.
var PolicyOfKind = sync.OnceValue(func() Scope { return Policy().extend(cel.Variable("params", cel.DynType)) })

// Device is the scope of an expression that chooses devices.
var Device = sync.OnceValue(func() Scope {
	return base().extend(ext.Bindings(ext.BindingsVersion(0)), cel.Variable("device", cel.ObjectType(deviceType)))
})

// Blank tells that there is no expression.
func Blank(text string) bool { return strings.TrimSpace(text) == "" }
