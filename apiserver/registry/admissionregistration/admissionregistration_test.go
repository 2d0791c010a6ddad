package admissionregistration

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
)

const goodHook = "name: a.example.com, admissionReviewVersions: [v1], sideEffects: None"

func TestWebhooks(t *testing.T) {
	for _, c := range []struct {
		name, hook, reason string
		want               []string
	}{
		{"service", goodHook + ", clientConfig: {service: {name: s, namespace: ns, path: /a/b}}, rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods, pods/status]}]", "the usual one", nil},
		{"URL", goodHook + ", clientConfig: {url: 'https://a.b/c'}", "outside of the cluster", nil},
		{"nothing", "name: ''", "everything that must be said",
			[]string{"name: Required value", "admissionReviewVersions: Required value", "sideEffects: Required value", "clientConfig: Required value: exactly one of url or service is required"}},
		{"short name", "name: a.b, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://a'}", "names are global", []string{"should be a domain with at least three segments separated by dots"}},
		{"both", goodHook + ", clientConfig: {url: 'https://a', service: {name: s, namespace: ns}}", "one of two", []string{"exactly one of url or service is required"}},
		{"bad URL", goodHook + ", clientConfig: {url: 'http://u@/?q#f'}", "https and no more", []string{"'https' is the only allowed URL scheme", "host must be specified", "user information is not permitted", "fragments are not permitted", "query parameters are not permitted"}},
		{"bad service", goodHook + ", clientConfig: {service: {path: a, port: 70000}}", "who and where", []string{"service.name: Required", "service.namespace: Required", "service.port: Invalid value: 70000", "service.path: Invalid value: \"a\": must start with a '/'"}},
		{"path", goodHook + ", clientConfig: {service: {name: s, namespace: ns, path: /a//B}}", "plain parts", []string{"segment[1] may not be empty", "segment[2]: a lowercase RFC 1123 subdomain"}},
		{"side effects", "name: a.example.com, admissionReviewVersions: [v1], sideEffects: Some, clientConfig: {url: 'https://a'}", "a dry run has none", []string{"sideEffects: Unsupported value: \"Some\""}},
		{"versions", "name: a.example.com, admissionReviewVersions: [v7, v7], sideEffects: None, clientConfig: {url: 'https://a'}", "one that the server speaks", []string{"duplicate version", "must include at least one of v1, v1beta1"}},
		{"timeout", goodHook + ", timeoutSeconds: 31, failurePolicy: Maybe, matchPolicy: Some, clientConfig: {url: 'https://a'}", "somebody waits", []string{"the timeout value must be between 1 and 30 seconds", "failurePolicy: Unsupported", "matchPolicy: Unsupported"}},
		{"rules", goodHook + ", clientConfig: {url: 'https://a'}, rules: [{}, {operations: ['*', CREATE, READ], apiGroups: ['*', a], apiVersions: [''], resources: ['*/*', pods], scope: Half}, {operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*', pods, '*/scale', a/scale, b/*, b/c]}]", "all, or some",
			[]string{"rules[0].operations: Required", "rules[0].apiGroups: Required", "rules[0].apiVersions: Required", "rules[0].resources: Required",
				"if '*' is present, must not specify other operations", "rules[1].operations[2]: Unsupported value: \"READ\"", "must not specify other API groups", "rules[1].apiVersions[0]: Required",
				"if '*/*' is present, must not specify other resources", "rules[1].scope: Unsupported value: \"Half\"",
				"rules[2].resources[1]: Invalid value: \"pods\": if '*' is present", "if '*/scale' is present, must not specify a/scale", "if 'b/*' is present, must not specify b/c"}},
		{"conditions", goodHook + ", clientConfig: {url: 'https://a'}, matchConditions: [{name: a, expression: 'true'}, {name: a, expression: ' '}, {name: 'a b', expression: 'true'}, {expression: params.a}]", "named expressions",
			[]string{"matchConditions[1].name: Duplicate", "matchConditions[1].expression: Required", "matchConditions[2].name: Invalid", "matchConditions[3].name: Required", "matchConditions[3].expression: Invalid value: \"params.a\": compilation failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := kindtest.From[admissionv1.ValidatingWebhookConfiguration](t, "webhooks: [{"+c.hook+"}]")
			d := validatingWebhooks()
			d.Default(config)
			kindtest.WantErrors(t, d.Validate(t.Context(), config), c.want...)
		})
	}
	config := kindtest.From[admissionv1.MutatingWebhookConfiguration](t, "webhooks: [{"+goodHook+", clientConfig: {service: {name: s, namespace: ns}}, rules: [{}]}, {"+goodHook+", reinvocationPolicy: Often, clientConfig: {url: 'https://a'}}]")
	d := mutatingWebhooks()
	d.Default(config)
	w := config.Webhooks[0]
	if *w.FailurePolicy != "Fail" || *w.MatchPolicy != "Equivalent" || *w.TimeoutSeconds != 10 || *w.ClientConfig.Service.Port != 443 || *w.ReinvocationPolicy != "Never" ||
		*w.Rules[0].Scope != "*" || w.NamespaceSelector == nil || w.ObjectSelector == nil {
		t.Errorf("defaults: %+v", w)
	}
	config.Webhooks[0].Rules = nil
	kindtest.WantErrors(t, d.Validate(t.Context(), config), "webhooks[1].name: Duplicate", "webhooks[1].reinvocationPolicy: Unsupported value: \"Often\"")
}

const goodMatch = "matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}"

func TestValidatingPolicies(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"good", "{" + goodMatch + ", paramKind: {apiVersion: rules.example.com/v1, kind: Limit}, variables: [{name: foo, expression: object.spec}], validations: [{expression: 'object.spec.replicas < 5', reason: Invalid}]}", "what one writes", nil},
		{"annotations", "{" + goodMatch + ", auditAnnotations: [{key: a, valueExpression: '\"1\"'}, {key: b, valueExpression: '1'}]}", "it need not refuse", []string{"auditAnnotations[1].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type]"}},
		{"nothing", "{}", "about what, and what?", []string{"spec.matchConstraints: Required value", "spec.validations: Required value: validations or auditAnnotations must be non-empty"}},
		{"no rules", "{matchConstraints: {}, validations: [{expression: 'true'}]}", "about what?", []string{"spec.matchConstraints.resourceRules: Required value"}},
		{"validations", "{" + goodMatch + ", validations: [{}, {expression: 'true', message: \"a\\nb\"}, {expression: \"true ||\\nfalse\"}, {expression: 'true', reason: Tired}, {expression: 'true', message: ' ', messageExpression: ' '}, {expression: '1', messageExpression: '1'}]}", "messages are one line",
			[]string{"validations[0].expression: Required", "validations[1].message: Invalid value: \"a\\nb\": message must not contain line breaks", "validations[2].message: Required value: message must be specified if expression contains line breaks",
				"validations[3].reason: Unsupported value: \"Tired\"", "validations[4].messageExpression: Invalid", "validations[4].message: Invalid", "validations[5].expression: Invalid value: \"1\": must evaluate to bool", "validations[5].messageExpression: Invalid value: \"1\": must evaluate to string"}},
		{"variables", "{" + goodMatch + ", validations: [{expression: 'variables.a && variables.c'}], variables: [{}, {name: 'a-b', expression: '1'}, {name: a, expression: 'true'}, {name: a, expression: 'true'}, {name: in, expression: '1'}, {name: b, expression: variables.c}, {name: c, expression: variables.a}]}", "names of CEL",
			[]string{"variables[0].name: Required", "variables[0].expression: Required", "variables[1].name: Invalid value: \"a-b\"", "variables[3].name: Duplicate", "variables[4].name: Invalid value: \"in\"", "variables[5].expression: Invalid value: \"variables.c\": compilation failed"}},
		{"param kind", "{" + goodMatch + ", validations: [{expression: params.a}], paramKind: {apiVersion: a/b/c}}", "a kind", []string{"paramKind.apiVersion: Invalid", "paramKind.kind: Required"}},
		{"names", "{matchConstraints: {resourceRules: [{resourceNames: [A, b, b], operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}, validations: [{expression: 'true'}]}", "names of objects", []string{"resourceNames[0]: Invalid value: \"A\"", "resourceNames[2]: Duplicate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := kindtest.From[admissionv1.ValidatingAdmissionPolicy](t, "{metadata: {name: p.example.com}, spec: "+c.spec+"}")
			d := validatingPolicies()
			d.Default(p)
			kindtest.WantErrors(t, d.Validate(t.Context(), p), c.want...)
		})
	}
}

func TestMutatingPolicies(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{" + goodMatch + ", reinvocationPolicy: Never, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[]'}}, {patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{}'}}]}", nil},
		{"nothing", "{}", []string{"spec.matchConstraints: Required", "spec.reinvocationPolicy: Required", "spec.mutations: Required value: mutations must contain at least one item"}},
		{"mutations", "{" + goodMatch + ", reinvocationPolicy: Never, mutations: [{}, {patchType: JSONPatch}, {patchType: JSONPatch, jsonPatch: {}, applyConfiguration: {expression: a}}, {patchType: Glue}]}",
			[]string{"mutations[0].patchType: Required", "mutations[1].jsonPatch: Required value: must be specified when patchType is JSONPatch", "mutations[2].jsonPatch.expression: Required",
				"mutations[2].applyConfiguration: Invalid value", "mutations[3].patchType: Unsupported value: \"Glue\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := kindtest.From[admissionv1.MutatingAdmissionPolicy](t, "spec: "+c.spec)
			d := mutatingPolicies()
			d.Default(p)
			kindtest.WantErrors(t, d.Validate(t.Context(), p), c.want...)
		})
	}
}

func TestBindings(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"good", "{policyName: p, validationActions: [Deny, Audit], paramRef: {name: a, namespace: ns, parameterNotFoundAction: Deny}}", nil},
		{"selector", "{policyName: p, validationActions: [Warn], paramRef: {selector: {}, parameterNotFoundAction: Allow}, matchResources: {}}", nil},
		{"nothing", "{}", []string{"spec.policyName: Required", "spec.validationActions: Required value: at least one validation action is required"}},
		{"actions", "{policyName: p, validationActions: [Deny, Warn, Warn, Shout]}", []string{"validationActions[2]: Duplicate", "validationActions[3]: Unsupported value: \"Shout\"", "must not contain both Deny and Warn"}},
		{"params", "{policyName: p, validationActions: [Deny], paramRef: {name: a, selector: {}}}", []string{"paramRef.name: Forbidden: name and selector are mutually exclusive", "paramRef.parameterNotFoundAction: Required"}},
		{"no params", "{policyName: p, validationActions: [Deny], paramRef: {parameterNotFoundAction: Shrug}}", []string{"paramRef: Required value: one of name or selector must be specified", "paramRef.parameterNotFoundAction: Unsupported"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := kindtest.From[admissionv1.ValidatingAdmissionPolicyBinding](t, "spec: "+c.spec)
			d := validatingBindings()
			d.Default(b)
			kindtest.WantErrors(t, d.Validate(t.Context(), b), c.want...)
			if warnings := d.Warnings(t.Context(), b, nil); len(warnings) != 1 {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
	kindtest.WantErrors(t, mutatingBindings().Validate(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{}), "spec.policyName: Required")
	for want, ref := range map[string]*admissionv1.ParamRef{unset: nil, "a": {Name: "a"}, "ns/a": {Name: "a", Namespace: "ns"}} {
		if got := printParamRef(ref); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
