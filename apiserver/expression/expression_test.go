package expression

import (
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
)

func TestCheck(t *testing.T) {
	policy := func() Scope { return Policy() }
	for _, c := range []struct {
		name  string
		scope func() Scope
		text  string
		want  Kind
		says  string // empty: it is right
	}{
		{"a bound", policy, "object.spec.replicas <= 5", Bool, ""},
		{"of two lines", policy, "object.spec.replicas <= 5 &&\n  has(object.metadata.labels)", Bool, ""},
		{"half", policy, "object.x >", Bool, "compilation failed: ERROR: <input>:1:11: Syntax error"},
		{"a name that is not there", policy, "objects.spec", Bool, "undeclared reference to 'objects'"},
		{"a number", policy, "1 + 1", Bool, "must evaluate to bool"},
		{"unlike types", policy, "1 == 'a'", Bool, "found no matching overload for '_==_'"},
		{"a message", policy, "'replicas: ' + string(object.spec.replicas)", String, ""},
		{"a message of another kind", policy, "true", String, "must evaluate to string"},
		{"an annotation", policy, "has(object.a) ? dyn('a') : null", StringOrNull, ""},
		{"a string is one", policy, "'a'", StringOrNull, ""},
		{"nothing is one", policy, "null", StringOrNull, ""},
		{"parameters without a kind", policy, "params.max > 1", Bool, "undeclared reference to 'params'"},
		{"parameters", PolicyOfKind, "object.spec.replicas <= params.maxReplicas", Bool, ""},
		{"the request", policy, "request.userInfo.groups.exists(g, g == 'a') && request.operation == 'CREATE' && !request.dryRun", Bool, ""},
		{"what a request has not", policy, "request.user == 'a'", Bool, "undefined field 'user'"},
		{"its namespace", policy, "namespaceObject.metadata.labels['a'] == 'b'", Bool, ""},
		{"a webhook sees no namespace", Request, "namespaceObject.metadata.name == 'a'", Bool, "undeclared reference to 'namespaceObject'"},
		{"who may", Request, "authorizer.group('apps').resource('deployments').namespace('a').check('create').allowed()", Bool, ""},
		{"who may this", Request, "authorizer.requestResource.check('update').reason() == ''", Bool, ""},
		{"a variable that is not declared", policy, "variables.a == 1", Bool, "undefined field 'a'"},
		{"lists", policy, "[1, 2].sum() == 3 && ['b'].indexOf('a') < 0 && [2, 1].isSorted()", Bool, ""},
		{"mixed lists", policy, "[1, 'a'].size() == 2", Bool, "expected type 'int' but found 'string'"},
		{"quantities", policy, "quantity('1Gi').add(1).isGreaterThan(quantity('1M')) && isQuantity(object.q)", Bool, ""},
		{"a quantity is no number", policy, "quantity('1Gi') > 1", Bool, "found no matching overload"},
		{"addresses", policy, "cidr('10.0.0.0/8').containsIP(ip('10.0.0.1')) && ip.isCanonical('::1') && string(ip('::1')) == '::1'", Bool, ""},
		{"locations", policy, "url(object.u).getHost() == 'a' && isURL('b')", Bool, ""},
		{"patterns", policy, "object.s.find('[0-9]+') != '' && 'abc'.matches('a.c')", Bool, ""},
		{"formats", policy, "!format.dns1123Label().validate(object.metadata.name).hasValue()", Bool, ""},
		{"versions", policy, "semver('1.2.3').isLessThan(semver('v1.3', true))", Bool, ""},
		{"sets and optionals", policy, "sets.contains(['a'], ['a']) && object[?'a'].orValue('') == ''", Bool, ""},
		{"text", policy, "'%s'.format(['a']).lowerAscii().split('-')[0] == 'a'", Bool, ""},
		{"an apply configuration", policy, "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}", Object, ""},
		{"half an apply configuration", policy, "{'spec': 1}", Object, "must evaluate to Object"},
		{"patches", policy, "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: Object.spec{a: 1}}]", Patches, ""},
		{"no patches", policy, "[]", Patches, ""},
		{"a patch without a list", policy, "JSONPatch{op: 'add'}", Patches, "must evaluate to list(JSONPatch)"},
		{"what a patch has not", policy, "[JSONPatch{operation: 'add'}]", Patches, "undefined field 'operation'"},
		{"a device", Device, "device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].model == 'a' && device.capacity['gpu.example.com'].memory.isGreaterThan(quantity('1Gi'))", Bool, ""},
		{"a device, bound", Device, "cel.bind(dra, device.attributes['dra.example.com'], dra.a && !dra.b)", Bool, ""},
		{"what a device has not", Device, "device.name == 'a'", Bool, "undefined field 'name'"},
		{"no objects among devices", Device, "object.a", Bool, "undeclared reference to 'object'"},
		{"deep", policy, strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000), Bool, "recursion limit"},
		{"nothing", policy, "", Bool, "Syntax error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.scope().Check(c.text, c.want)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%.100s: %v, want %q", c.text, err, c.says)
			}
		})
	}
}

// Variables have the type of what they stand for, and are known after their declaration only.
func TestVariables(t *testing.T) {
	first := PolicyOfKind()
	is, err := first.Check("params.limits.map(l, int(l))", Anything)
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.With("limits", is)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Check("variables.limits.max() > 1", Bool); err != nil {
		t.Error(err)
	}
	if _, err := second.Check("variables.limits == 'a'", Bool); err == nil {
		t.Error("a list of numbers is compared with a text")
	}
	if _, err := first.Check("variables.limits.max() > 1", Bool); err == nil {
		t.Error("a variable is known before it is declared")
	}
	if _, err := second.With("again", cel.StringType); err != nil {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"object.a == 1", "[JSONPatch{op: 'add'}]", "variables.x", "cel.bind(a, 1, a)", "'\\u0000'.find('(')", "a.b.c{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if len(text) > 1<<10 {
			return // the parser's time grows with the input; the API bounds it
		}
		for _, scope := range []Scope{PolicyOfKind(), Device()} {
			_, _ = scope.Check(text, Bool) // no panic
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	scope := Policy()
	for b.Loop() {
		if _, err := scope.Check("object.spec.replicas <= 5 && object.metadata.labels['a'] == 'b'", Bool); err != nil {
			b.Fatal(err)
		}
	}
}
