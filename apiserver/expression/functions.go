package expression

import (
	"fmt"

	"github.com/google/cel-go/cel"
)

// The types that have functions only.
var (
	authorizer    = cel.ObjectType("kubernetes.authorization.Authorizer")
	pathCheck     = cel.ObjectType("kubernetes.authorization.PathCheck")
	groupCheck    = cel.ObjectType("kubernetes.authorization.GroupCheck")
	resourceCheck = cel.ObjectType("kubernetes.authorization.ResourceCheck")
	verdict       = cel.ObjectType("kubernetes.authorization.Decision")
	quantity      = cel.ObjectType("kubernetes.Quantity")
	semver        = cel.ObjectType("kubernetes.Semver")
	ip            = cel.ObjectType("net.IP")
	cidr          = cel.ObjectType("net.CIDR")
	url           = cel.ObjectType("kubernetes.URL")
	named         = cel.ObjectType("kubernetes.NamedFormat")
	element       = cel.TypeParamType("T")
	elements      = cel.ListType(element)
)

// signature is one way to call a function: by its arguments, or on a receiver, which is the first of them.
type signature struct {
	name   string
	method bool
	args   []*cel.Type
	result *cel.Type
}

func call(name string, result *cel.Type, args ...*cel.Type) signature {
	return signature{name: name, args: args, result: result}
}

func on(receiver *cel.Type, name string, result *cel.Type, args ...*cel.Type) signature {
	return signature{name: name, method: true, args: append([]*cel.Type{receiver}, args...), result: result}
}

// library is what Kubernetes adds to the language, as
// https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-function-libraries documents it.
func library() []signature {
	text, number, truth := cel.StringType, cel.IntType, cel.BoolType
	all := []signature{
		on(elements, "isSorted", truth), on(elements, "sum", element), on(elements, "min", element), on(elements, "max", element),
		on(elements, "indexOf", number, element), on(elements, "lastIndexOf", number, element),
		on(text, "find", text, text), on(text, "findAll", texts, text), on(text, "findAll", texts, text, number),

		call("url", url, text), call("isURL", truth, text), on(url, "getScheme", text), on(url, "getHost", text), on(url, "getHostname", text),
		on(url, "getPort", text), on(url, "getEscapedPath", text), on(url, "getQuery", cel.MapType(text, texts)),

		call("ip", ip, text), call("isIP", truth, text), call("ip.isCanonical", truth, text), on(ip, "family", number), on(ip, "isUnspecified", truth),
		on(ip, "isLoopback", truth), on(ip, "isLinkLocalMulticast", truth), on(ip, "isLinkLocalUnicast", truth), on(ip, "isGlobalUnicast", truth), call("string", text, ip),
		call("cidr", cidr, text), call("isCIDR", truth, text), on(cidr, "containsIP", truth, text), on(cidr, "containsIP", truth, ip),
		on(cidr, "containsCIDR", truth, text), on(cidr, "containsCIDR", truth, cidr), on(cidr, "ip", ip), on(cidr, "masked", cidr),
		on(cidr, "prefixLength", number), call("string", text, cidr),

		call("format.named", cel.OptionalType(named), text), on(named, "validate", cel.OptionalType(texts), text),
		call("jsonpatch.escapeKey", text, text),
	}
	for _, name := range []string{"dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix", "dns1123SubdomainPrefix",
		"dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date", "datetime"} {
		all = append(all, call("format."+name, named))
	}
	all = append(all, numbers()...)
	return append(all, authorization()...)
}

// numbers are quantities and versions.
func numbers() []signature {
	text, number, truth := cel.StringType, cel.IntType, cel.BoolType
	all := []signature{
		call("quantity", quantity, text), call("isQuantity", truth, text), on(quantity, "sign", number), on(quantity, "isInteger", truth),
		on(quantity, "asInteger", number), on(quantity, "asApproximateFloat", cel.DoubleType),
		call("semver", semver, text), call("semver", semver, text, truth), call("isSemver", truth, text), call("isSemver", truth, text, truth),
		on(semver, "major", number), on(semver, "minor", number), on(semver, "patch", number),
	}
	for _, other := range []*cel.Type{quantity, number} {
		all = append(all, on(quantity, "add", quantity, other), on(quantity, "sub", quantity, other))
	}
	for _, ordered := range []*cel.Type{quantity, semver} {
		all = append(all, on(ordered, "isGreaterThan", truth, ordered), on(ordered, "isLessThan", truth, ordered), on(ordered, "compareTo", number, ordered))
	}
	return all
}

// authorization is how an expression asks what somebody may do.
func authorization() []signature {
	text := cel.StringType
	all := []signature{
		on(authorizer, "path", pathCheck, text), on(authorizer, "group", groupCheck, text), on(authorizer, "serviceAccount", authorizer, text, text),
		on(groupCheck, "resource", resourceCheck, text), on(pathCheck, "check", verdict, text), on(resourceCheck, "check", verdict, text),
		on(verdict, "allowed", cel.BoolType), on(verdict, "errored", cel.BoolType), on(verdict, "error", text), on(verdict, "reason", text),
	}
	for _, narrower := range []string{"subresource", "namespace", "name", "fieldSelector", "labelSelector"} {
		all = append(all, on(resourceCheck, narrower, resourceCheck, text))
	}
	return all
}

// functions declares the library to the checker: signatures without bodies.
func functions() []cel.EnvOption {
	var all []cel.EnvOption
	for i, s := range library() {
		id := fmt.Sprintf("kubernetes_%s_%d", s.name, i)
		overload := cel.Overload(id, s.args, s.result)
		if s.method {
			overload = cel.MemberOverload(id, s.args, s.result)
		}
		all = append(all, cel.Function(s.name, overload))
	}
	return all
}
