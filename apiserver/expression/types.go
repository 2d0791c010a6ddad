package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// The types that have fields.
const (
	objectType    = "Object" // what an apply configuration is made of; its parts are Object.spec and so on
	patchType     = "JSONPatch"
	requestType   = "kubernetes.AdmissionRequest"
	userType      = "kubernetes.UserInfo"
	kindType      = "kubernetes.GroupVersionKind"
	resourceType  = "kubernetes.GroupVersionResource"
	namespaceType = "kubernetes.Namespace"
	metaType      = "kubernetes.NamespaceMetadata"
	nsSpecType    = "kubernetes.NamespaceSpec"
	nsStatusType  = "kubernetes.NamespaceStatus"
	variablesType = "kubernetes.variables"
	deviceType    = "kubernetes.DRADevice"
)

// structs tells the checker which fields a type has.
type structs struct {
	*types.Registry
	fields map[string]map[string]*cel.Type
}

var (
	texts   = cel.ListType(cel.StringType)
	textMap = cel.MapType(cel.StringType, cel.StringType)
)

func newStructs() structs {
	registry, err := types.NewRegistry()
	if err != nil {
		panic("expression: " + err.Error())
	}
	return structs{Registry: registry, fields: map[string]map[string]*cel.Type{
		patchType: {"op": cel.StringType, "path": cel.StringType, "from": cel.StringType, "value": cel.DynType},
		requestType: {
			"kind": cel.ObjectType(kindType), "resource": cel.ObjectType(resourceType), "subResource": cel.StringType,
			"requestKind": cel.ObjectType(kindType), "requestResource": cel.ObjectType(resourceType), "requestSubResource": cel.StringType,
			"name": cel.StringType, "namespace": cel.StringType, "operation": cel.StringType,
			"userInfo": cel.ObjectType(userType), "dryRun": cel.BoolType, "options": cel.DynType,
		},
		userType:     {"username": cel.StringType, "uid": cel.StringType, "groups": texts, "extra": cel.MapType(cel.StringType, texts)},
		kindType:     {"group": cel.StringType, "version": cel.StringType, "kind": cel.StringType},
		resourceType: {"group": cel.StringType, "version": cel.StringType, "resource": cel.StringType},
		namespaceType: {
			"metadata": cel.ObjectType(metaType), "spec": cel.ObjectType(nsSpecType), "status": cel.ObjectType(nsStatusType),
		},
		metaType: {
			"name": cel.StringType, "generateName": cel.StringType, "namespace": cel.StringType, "labels": textMap, "annotations": textMap,
			"UID": cel.StringType, "creationTimestamp": cel.TimestampType, "deletionGracePeriodSeconds": cel.IntType,
			"deletionTimestamp": cel.TimestampType, "generation": cel.IntType, "resourceVersion": cel.StringType, "finalizers": texts,
		},
		nsSpecType:    {"finalizers": texts},
		nsStatusType:  {"phase": cel.StringType},
		variablesType: {},
		deviceType: {
			"driver": cel.StringType, "allowMultipleAllocations": cel.BoolType,
			"attributes": cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.AnyType)),
			"capacity":   cel.MapType(cel.StringType, cel.MapType(cel.StringType, quantity)),
		},
	}}
}

// with is s with one more field.
func (s structs) with(of, name string, is *cel.Type) structs {
	s.fields = maps.Clone(s.fields)
	s.fields[of] = maps.Clone(s.fields[of])
	s.fields[of][name] = is
	return s
}

// free tells the types that may have any field.
func free(name string) bool { return name == objectType || strings.HasPrefix(name, objectType+".") }

// FindStructType implements types.Provider.
func (s structs) FindStructType(name string) (*types.Type, bool) {
	if _, ok := s.fields[name]; ok || free(name) {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return s.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (s structs) FindStructFieldNames(name string) ([]string, bool) {
	if f, ok := s.fields[name]; ok {
		return slices.Sorted(maps.Keys(f)), true
	}
	return s.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (s structs) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if free(name) {
		return &types.FieldType{Type: types.DynType}, true
	}
	if f, ok := s.fields[name]; ok {
		is, ok := f[field]
		return &types.FieldType{Type: is}, ok
	}
	return s.Registry.FindStructFieldType(name, field)
}

// FindIdent implements types.Provider.
func (s structs) FindIdent(name string) (ref.Val, bool) {
	if _, ok := s.fields[name]; ok || free(name) {
		return types.NewObjectType(name), true
	}
	return s.Registry.FindIdent(name)
}
