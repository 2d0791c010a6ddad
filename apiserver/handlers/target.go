package handlers

import (
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/apiserver/auth"
)

// target is what a URL below /api or /apis points at.
type target struct {
	group, version string
	namespace      string
	resource       string
	name           string
	subresource    string
	path           string // behind a proxy, as it was sent; with its first slash
	watch          bool   // the path itself asks for a watch
}

// splitTarget takes the path of a resource's URL apart, as it was sent:
//
//	/api/VERSION/… and /apis/GROUP/VERSION/…, followed by
//	[namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]], behind a proxy by any further path, or
//	watch/[namespaces/NAMESPACE/]RESOURCE[/NAME], as clients of long ago ask for a watch
//
// One slash behind RESOURCE or NAME means nothing.
//
// ok is false for what cannot be one. What exists is looked up in the registry, so that
// kinds can be added while the server runs.
func splitTarget(path string) (t target, ok bool) {
	rest, core := strings.CutPrefix(path, "/api/")
	if !core {
		if rest, ok = strings.CutPrefix(path, "/apis/"); !ok {
			return t, false
		}
		if t.group, rest, ok = strings.Cut(rest, "/"); !ok || t.group == "" {
			return t, false
		}
	}
	if t.version, rest, ok = strings.Cut(rest, "/"); !ok || t.version == "" {
		return t, false
	}
	if below, asked := strings.CutPrefix(rest, "watch/"); asked && below != "" {
		t.watch, rest = true, below
	}
	if below, in := strings.CutPrefix(rest, "namespaces/"); in {
		if namespace, inside, _ := strings.Cut(below, "/"); inside != "" {
			if t.namespace, rest = namespace, inside; namespace == "" {
				return t, false
			}
		}
	}
	for i, part := range []*string{&t.resource, &t.name, &t.subresource} {
		var more bool
		if *part, rest, more = strings.Cut(rest, "/"); *part == "" && (i == 0 || more) {
			return t, false
		} else if !more {
			return t, !t.watch || t.subresource == ""
		}
	}
	t.path = "/" + rest
	return t, !t.watch && t.subresource == "proxy" &&
		(t.namespace != "" && (t.resource == "pods" || t.resource == "services") || t.namespace == "" && t.resource == "nodes")
}

// decoded is the target with every part decoded once; what could be taken for a path is
// refused.
func (t target) decoded() (target, error) {
	for _, part := range []struct {
		name string
		text *string
	}{
		{"group", &t.group}, {"version", &t.version}, {"namespace", &t.namespace},
		{"resource", &t.resource}, {"name", &t.name}, {"subresource", &t.subresource},
	} {
		value, err := url.PathUnescape(*part.text)
		if err != nil {
			return t, apierrors.NewBadRequest("malformed path: " + err.Error())
		}
		if !plainSegment(value) {
			return t, apierrors.NewBadRequest("malformed path: invalid " + part.name)
		}
		*part.text = value
	}
	if !plainPath(t.path) {
		return t, apierrors.NewBadRequest("malformed path: it may not lead upwards")
	}
	return t.namespacesThemselves(), nil
}

// plainSegment reports whether s can be one part of a path and nothing more.
func plainSegment(s string) bool {
	if s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if s[i] == '/' || s[i] == '\\' || s[i] == '%' || s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// plainPath reports whether an encoded path means below its root what it seems to mean: no
// part of it, decoded, steps up or stands still.
func plainPath(encoded string) bool {
	decoded, err := url.PathUnescape(encoded)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(decoded, `\`, "/"), "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(decoded, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// namespacesThemselves reads /api/v1/namespaces/NAME/status and /finalize, which look like a
// collection in a namespace, as what they are.
func (t target) namespacesThemselves() target {
	core := t.group == "" && t.version == "v1" && !t.watch
	if core && t.namespace != "" && t.name == "" && (t.resource == "status" || t.resource == "finalize") {
		return target{version: t.version, resource: "namespaces", name: t.namespace, subresource: t.resource}
	}
	return t
}

func (t target) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: t.group, Version: t.version, Resource: t.resource}
}

// attributes is what the authorizer is asked about.
func (t target) attributes(user auth.User, verb string) auth.Attributes {
	namespace := t.namespace
	if t.group == "" && t.resource == "namespaces" {
		namespace = t.name
	}
	return auth.Attributes{
		User: user, Verb: verb, Group: t.group, Version: t.version, Resource: t.resource,
		Subresource: t.subresource, Namespace: namespace, Name: t.name,
	}
}

// verb names what the request does. ok is false for methods that nothing, or not this path, has.
func (t target) verb(r *http.Request, query url.Values) (verb string, ok bool) {
	collection, reads := t.name == "", r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case t.watch:
		return "watch", reads
	case reads && collection && wantsWatch(query):
		return "watch", true
	case reads && collection:
		return "list", true
	case reads:
		return "get", true
	}
	switch r.Method {
	case http.MethodPost:
		return "create", true
	case http.MethodPut:
		return "update", true
	case http.MethodPatch:
		return "patch", true
	case http.MethodDelete:
		if collection {
			return "deletecollection", true
		}
		return "delete", true
	}
	return "", false
}
