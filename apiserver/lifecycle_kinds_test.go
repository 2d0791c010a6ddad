package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// group makes the resources of an API group in version v1.
func group(name string) func(resource string) schema.GroupVersionResource {
	return func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: name, Version: "v1", Resource: resource}
	}
}

const conditionJSON = `{"conditions":[{"type":"StatusPatched","status":"True","reason":"E2E","message":"Set by a test","lastTransitionTime":"2026-01-02T03:04:05Z"}]}`

func conditionAt() []any {
	return []any{map[string]any{"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by a test", "lastTransitionTime": "2026-01-02T03:04:05Z"}}
}

// livesOfGroups are the lives of the kinds that no workload is made of.
func livesOfGroups(t *testing.T) []life {
	core, rbac, networking, admission := group(""), group("rbac.authorization.k8s.io"), group("networking.k8s.io"), group("admissionregistration.k8s.io")
	flow, devices := group("flowcontrol.apiserver.k8s.io"), group("resource.k8s.io")
	rules := `"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]`
	hook := `{"name":"a.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"url":"https://example.com"}}`
	match := `"matchConstraints":{"resourceRules":[{"operations":["CREATE"],"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments"]}]}`
	request := `{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"gpu"}}]}}`
	labels := `{"metadata":{"annotations":{"e2e":"patched"}}}`
	annotated := []string{"metadata", "annotations", "e2e"}
	return []life{
		{name: "podtemplates", resource: core("podtemplates"), namespace: "default", object: `{"template":{"spec":` + podSpecJSON + `}}`,
			patch: `{"template":{"metadata":{"labels":{"x":"y"}}}}`, path: []string{"template", "metadata", "labels", "x"}, want: "y"},
		{name: "resourcequotas", resource: core("resourcequotas"), namespace: "default", object: `{"spec":{"hard":{"count/a.example.com":"10"}}}`,
			patch: `{"spec":{"hard":{"count/a.example.com":"12"}}}`, path: []string{"spec", "hard", "count/a.example.com"}, want: "12",
			status: `{"hard":{"count/a.example.com":"11"}}`, statusAt: []string{"status", "hard"}, wanted: map[string]any{"count/a.example.com": "11"}},
		{name: "limitranges", resource: core("limitranges"), namespace: "default", object: `{"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"2Gi"}}]}}`,
			patch: `{"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"3Gi"}}]}}`, path: []string{"spec", "limits"},
			want: []any{map[string]any{"type": "PersistentVolumeClaim", "max": map[string]any{"storage": "3Gi"}}}},
		{name: "roles", resource: rbac("roles"), namespace: "default", object: `{` + rules + `}`, patch: labels, path: annotated, want: "patched"},
		{name: "clusterroles", resource: rbac("clusterroles"), object: `{` + rules + `}`, patch: labels, path: annotated, want: "patched"},
		{name: "rolebindings", resource: rbac("rolebindings"), namespace: "default", object: `{"roleRef":{"kind":"Role","name":"a","apiGroup":"rbac.authorization.k8s.io"}}`,
			patch: labels, path: annotated, want: "patched"},
		{name: "clusterrolebindings", resource: rbac("clusterrolebindings"), object: `{"roleRef":{"kind":"ClusterRole","name":"a","apiGroup":"rbac.authorization.k8s.io"}}`,
			patch: labels, path: annotated, want: "patched"},
		{name: "ingresses", resource: networking("ingresses"), namespace: "default", object: `{"spec":{"defaultBackend":{"service":{"name":"a","port":{"number":80}}}}}`,
			patch: `{"spec":{"ingressClassName":"c"}}`, path: []string{"spec", "ingressClassName"}, want: "c",
			status: `{"loadBalancer":{"ingress":[{"ip":"169.1.1.1"}]}}`, statusAt: []string{"status", "loadBalancer", "ingress"}, wanted: []any{map[string]any{"ip": "169.1.1.1"}}},
		{name: "ingressclasses", resource: networking("ingressclasses"), object: `{"spec":{"controller":"example.com/controller"}}`, patch: labels, path: annotated, want: "patched"},
		{name: "networkpolicies", resource: networking("networkpolicies"), namespace: "default", object: `{"spec":{"podSelector":{}}}`,
			patch: `{"spec":{"podSelector":{"matchLabels":{"a":"b"}}}}`, path: []string{"spec", "podSelector", "matchLabels", "a"}, want: "b"},
		{name: "servicecidrs", resource: networking("servicecidrs"), object: `{"spec":{"cidrs":["10.77.0.0/24"]}}`, patch: labels, path: annotated, want: "patched",
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
		{name: "runtimeclasses", resource: group("node.k8s.io")("runtimeclasses"), object: `{"handler":"h"}`, patch: labels, path: annotated, want: "patched"},
		{name: "certificatesigningrequests", resource: group("certificates.k8s.io")("certificatesigningrequests"),
			object: `{"spec":{"signerName":"example.com/e2e","usages":["any"],"request":"` + signingRequest(t) + `"}}`, patch: labels, path: annotated, want: "patched",
			status: `{"conditions":[{"type":"StatusUpdate","status":"True","reason":"E2E","message":"Set by a test","lastTransitionTime":"2026-01-02T03:04:05Z","lastUpdateTime":"2026-01-02T03:04:05Z"}]}`, statusAt: []string{"status", "conditions"},
			wanted: []any{map[string]any{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by a test", "lastTransitionTime": "2026-01-02T03:04:05Z", "lastUpdateTime": "2026-01-02T03:04:05Z"}}},
		{name: "podcertificaterequests", resource: group("certificates.k8s.io")("podcertificaterequests"), namespace: "default",
			object: `{"spec":{"signerName":"example.com/e2e","podName":"p","podUID":"1","serviceAccountName":"s","serviceAccountUID":"2","nodeName":"n","nodeUID":"3","stubPKCS10Request":"` + stubRequest(t) + `"}}`,
			patch:  labels, path: annotated, want: "patched"},
		{name: "clustertrustbundles", resource: group("certificates.k8s.io")("clustertrustbundles"), object: `{"spec":{"trustBundle":` + rootOfTrust(t) + `}}`,
			patch: labels, path: annotated, want: "patched"},
		{name: "flowschemas", resource: flow("flowschemas"), object: `{"spec":{"matchingPrecedence":10000,"priorityLevelConfiguration":{"name":"global-default"}}}`,
			patch: `{"spec":{"matchingPrecedence":9999}}`, path: []string{"spec", "matchingPrecedence"}, want: int64(9999),
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
		{name: "prioritylevelconfigurations", resource: flow("prioritylevelconfigurations"), object: `{"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":2,"limitResponse":{"type":"Reject"}}}}`,
			patch: `{"spec":{"limited":{"nominalConcurrencyShares":4}}}`, path: []string{"spec", "limited", "nominalConcurrencyShares"}, want: int64(4),
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
		{name: "mutatingwebhookconfigurations", resource: admission("mutatingwebhookconfigurations"), object: `{"webhooks":[` + hook + `]}`, patch: labels, path: annotated, want: "patched"},
		{name: "validatingwebhookconfigurations", resource: admission("validatingwebhookconfigurations"), object: `{"webhooks":[` + hook + `]}`, patch: labels, path: annotated, want: "patched"},
		{name: "validatingadmissionpolicies", resource: admission("validatingadmissionpolicies"), object: `{"spec":{` + match + `,"validations":[{"expression":"object.spec.replicas <= 100"}]}}`,
			patch: `{"spec":{"failurePolicy":"Ignore"}}`, path: []string{"spec", "failurePolicy"}, want: "Ignore",
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
		{name: "validatingadmissionpolicybindings", resource: admission("validatingadmissionpolicybindings"), object: `{"spec":{"policyName":"p","validationActions":["Deny"]}}`,
			patch: `{"spec":{"validationActions":["Audit"]}}`, path: []string{"spec", "validationActions"}, want: []any{"Audit"}},
		{name: "mutatingadmissionpolicies", resource: admission("mutatingadmissionpolicies"),
			object: `{"spec":{` + match + `,"reinvocationPolicy":"Never","mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":"[]"}}]}}`,
			patch:  `{"spec":{"failurePolicy":"Ignore"}}`, path: []string{"spec", "failurePolicy"}, want: "Ignore"},
		{name: "mutatingadmissionpolicybindings", resource: admission("mutatingadmissionpolicybindings"), object: `{"spec":{"policyName":"p"}}`,
			patch: `{"spec":{"policyName":"q"}}`, path: []string{"spec", "policyName"}, want: "q"},
		{name: "deviceclasses", resource: devices("deviceclasses"), object: `{"spec":{"selectors":[{"cel":{"expression":"true"}}]}}`, patch: labels, path: annotated, want: "patched"},
		{name: "resourceclaims", resource: devices("resourceclaims"), namespace: "default", object: `{"spec":` + request + `}`, patch: labels, path: annotated, want: "patched",
			status: `{"devices":[{"driver":"d","pool":"p","device":"x",` + conditionJSON[1:] + `]}`, statusAt: []string{"status", "devices"}, wanted: []any{map[string]any{"driver": "d", "pool": "p", "device": "x", "conditions": conditionAt()}}},
		{name: "resourceclaimtemplates", resource: devices("resourceclaimtemplates"), namespace: "default", object: `{"spec":{"spec":` + request + `}}`, patch: labels, path: annotated, want: "patched"},
		{name: "resourceslices", resource: devices("resourceslices"), object: `{"spec":{"driver":"d.example.com","nodeName":"n","pool":{"name":"p","generation":1,"resourceSliceCount":1}}}`,
			patch: `{"spec":{"pool":{"generation":2}}}`, path: []string{"spec", "pool", "generation"}, want: int64(2)},
		{name: "devicetaintrules", resource: devices("devicetaintrules"), object: `{"spec":{"taint":{"key":"k","effect":"NoSchedule"}}}`,
			patch: `{"spec":{"taint":{"value":"v"}}}`, path: []string{"spec", "taint", "value"}, want: "v",
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
	}
}

// stubRequest is a request for a certificate without its PEM armour.
func stubRequest(t *testing.T) string {
	t.Helper()
	text := must(base64.StdEncoding.DecodeString(signingRequest(t)))(t)
	block, _ := pem.Decode(text)
	return base64.StdEncoding.EncodeToString(block.Bytes)
}

// rootOfTrust is a certificate, as JSON has it.
func rootOfTrust(t *testing.T) string {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key))(t)
	return string(must(json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))))(t))
}

// signingRequest is a request for a certificate, as JSON has it.
func signingRequest(t *testing.T) string {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
