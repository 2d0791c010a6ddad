package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kindtest"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
)

// podWith is a valid pod with more in its spec and in its only container.
func podWith(t testing.TB, spec, container string) *corev1.Pod {
	t.Helper()
	p := kindtest.From[corev1.Pod](t, "metadata: {name: p, namespace: default}\nspec: "+"{containers: [{name: a, image: a:1, "+container+"}], "+spec+"}")
	podspec.DefaultPod(p)
	return p
}

func TestValidateFullPod(t *testing.T) {
	p := kindtest.From[corev1.Pod](t, kindtest.FullPod)
	podspec.DefaultPod(p)
	kindtest.WantErrors(t, validatePod(p))
}

func TestValidatePodSpec(t *testing.T) {
	for _, c := range []struct {
		name, spec, reason string
		want               []string
	}{
		{"restart policy", "restartPolicy: Sometimes", "only three are known",
			[]string{`spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"`}},
		{"deadline", "activeDeadlineSeconds: 0", "a deadline of zero would never run",
			[]string{"spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"}},
		{"grace", "terminationGracePeriodSeconds: -1", "it is a second, and who says so is warned", nil},
		{"windows", "os: {name: windows}, hostPID: true, securityContext: {runAsUser: 1, fsGroup: 2}", "it has none of these",
			[]string{"spec.hostPID: Forbidden: cannot be set for a windows pod", "spec.securityContext.runAsUser: Forbidden", "spec.securityContext.fsGroup: Forbidden"}},
		{"linux", "os: {name: linux}, securityContext: {windowsOptions: {runAsUserName: a}}", "it has no such users",
			[]string{"spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"}},
		{"storage systems", "volumes: [{name: a, iscsi: {targetPortal: '', iqn: i, lun: 256}}, {name: b, rbd: {monitors: [], image: ''}}, {name: c, azureDisk: {diskName: d, diskURI: u}}, {name: d, flexVolume: {driver: ''}}]",
			"what they must be told", []string{"volumes[0].iscsi.targetPortal: Required", "volumes[0].iscsi.lun: Invalid value: 256", "volumes[1].rbd.monitors: Required", "volumes[1].rbd.image: Required", "volumes[3].flexVolume.driver: Required"}},
		{"fibre channel", "volumes: [{name: a, fc: {}}, {name: b, fc: {targetWWNs: [w]}}, {name: c, fc: {targetWWNs: [w], wwids: [i], lun: 1}}, {name: d, fc: {wwids: [i]}}]", "one way to find the disk",
			[]string{"volumes[0].fc.targetWWNs: Required", "volumes[1].fc.lun: Required", "volumes[2].fc.targetWWNs: Invalid"}},
		{"spread keys", "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [b]}, {maxSkew: 1, topologyKey: c, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {b: x}}, matchLabelKeys: [b, 'd e']}]",
			"they complete a selector", []string{"topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
				"topologySpreadConstraints[1].matchLabelKeys[0]: Invalid value: \"b\": exists in both matchLabelKeys and labelSelector", "topologySpreadConstraints[1].matchLabelKeys[1]: Invalid value: \"d e\""}},
		{"affinity keys", "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a, labelSelector: {}, matchLabelKeys: [b], mismatchLabelKeys: [b]}]}}",
			"like and unlike", []string{"matchLabelKeys[0]: Invalid value: \"b\": exists in both matchLabelKeys and mismatchLabelKeys"}},
		{"more than the pod", "resources: {requests: {cpu: 1}, limits: {cpu: 2}}, initContainers: [{name: i, image: i, resources: {requests: {cpu: 2}, limits: {cpu: 3}}}]", "containers share what the pod has",
			[]string{"spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2", "spec.initContainers[0].resources.limits[cpu]: Invalid value: \"3\": must be less than or equal to pod limits of 2"}},
		{"dns none", "dnsPolicy: None", "somebody must answer",
			[]string{"spec.dnsConfig: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"}},
		{"dns none with servers", "dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1]}", "somebody does", nil},
		{"dns servers", "dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, nope]}", "three at most, all addresses",
			[]string{"must not have more than 3 nameservers", "spec.dnsConfig.nameservers[3]: Invalid value"}},
		{"dns options", "dnsConfig: {options: [{value: a}]}", "an option has a name", []string{"spec.dnsConfig.options[0]: Required value"}},
		{"hostname", "hostname: A_b", "it is a DNS label", []string{"spec.hostname: Invalid value"}},
		{"host alias", "hostAliases: [{ip: x, hostnames: [a_b]}]", "addresses and names are checked",
			[]string{"spec.hostAliases[0].ip: Invalid value", "spec.hostAliases[0].hostnames[0]: Invalid value"}},
		{"toleration without key", "tolerations: [{value: a}]", "only Exists may be without a key",
			[]string{"spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty"}},
		{"toleration seconds", "tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 1}]", "only eviction waits",
			[]string{"spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"}},
		{"toleration Exists value", "tolerations: [{key: a, operator: Exists, value: b}]", "Exists has no value",
			[]string{"value must be empty when `operator` is 'Exists'"}},
		{"toleration number", "tolerations: [{key: a, operator: Gt, value: b}]", "numbers are compared", []string{"spec.tolerations[0].value: Invalid value"}},
		{"node selector", "nodeSelector: {a b: c}", "keys are label names", []string{"spec.nodeSelector: Invalid value"}},
		{"node affinity empty", "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}",
			"no term would match no node", []string{"nodeSelectorTerms: Required value: must have at least one node selector term"}},
		{"node affinity values", "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}, {key: a, operator: Exists, values: [b]}, {key: a, operator: Like}]}]}}}",
			"operators differ in their values", []string{"must be specified when `operator` is 'In' or 'NotIn'",
				"may not be specified when `operator` is 'Exists' or 'DoesNotExist'", "not a valid selector operator"}},
		{"affinity weight", "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, podAffinityTerm: {topologyKey: a}}]}}",
			"weights are 1 to 100", []string{"weight: Invalid value: 0: must be in the range 1-100"}},
		{"affinity topology", "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{}]}}", "near in what?",
			[]string{"topologyKey: Required value: can not be empty"}},
		{"spread", "topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, minDomains: 1}, {maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]",
			"skew, domains and uniqueness", []string{"maxSkew: Invalid value: 0: must be greater than zero",
				"can only use minDomains if whenUnsatisfiable=DoNotSchedule", "Duplicate value"}},
		{"gates and node", "schedulingGates: [{name: a/b}], nodeName: n", "a gated pod has no node yet",
			[]string{"spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"}},
		{"two sources", "volumes: [{name: v, emptyDir: {}, hostPath: {path: /}}]", "a volume is of one type",
			[]string{"spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type"}},
		{"volume names", "volumes: [{name: v}, {name: v}, {name: V}, {}]", "unique DNS labels",
			[]string{`spec.volumes[1].name: Duplicate value: "v"`, "spec.volumes[2].name: Invalid value", "spec.volumes[3].name: Required value"}},
		{"host path", "volumes: [{name: v, hostPath: {path: /a/../b}}]", "no way around", []string{"spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"}},
		{"item path", "volumes: [{name: v, secret: {secretName: s, items: [{key: a, path: ../a}, {path: /a}], defaultMode: 0o1000}}]", "inside the volume",
			[]string{"items[0].path: Invalid value: \"../a\": must not contain '..'", "items[1].key: Required value", "items[1].path: Invalid value: \"/a\": must be a relative path",
				"defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"}},
		{"projected clash", "volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: a, expirationSeconds: 60}}, {configMap: {name: c, items: [{key: k, path: a}]}}, {}]}}]",
			"each path once, each source one", []string{"may not specify a duration less than 10 minutes", "conflicting duplicate paths", "sources[2]: Required value"}},
		{"git", "volumes: [{name: v, gitRepo: {repository: a}}]", "it runs foreign code on the node", []string{"spec.volumes[0].gitRepo: Forbidden"}},
		{"claim volume", "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]", "valid; the claim may come later", nil},
		{"ephemeral volume", "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]", "a claim is made of it", nil},
		{"ephemeral volume that no claim can be made of", "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {metadata: {name: x}, spec: {accessModes: [ReadWriteOnce]}}}}]", "the pod would wait for ever",
			[]string{"volumeClaimTemplate.metadata.name: Forbidden", "volumeClaimTemplate.spec.resources[storage]: Required value"}},
		{"pid sharing", "hostPID: true, shareProcessNamespace: true", "one or the other", []string{"ShareProcessNamespace and HostPID cannot both be enabled"}},
		{"sysctl", "hostNetwork: true, securityContext: {sysctls: [{name: net.core.somaxconn, value: a}, {name: A}]}", "the host's own are not a pod's",
			[]string{"may not be specified when 'hostNetwork' is set to true", "spec.securityContext.sysctls[1].name: Invalid value"}},
		{"users", "securityContext: {runAsUser: -1, fsGroup: -1}", "ids are not negative", []string{"runAsUser: Invalid value: -1", "fsGroup: Invalid value: -1"}},
		{"seccomp", "securityContext: {seccompProfile: {type: Localhost}}", "which profile?", []string{"localhostProfile: Required value: must be set when seccomp type is Localhost"}},
		{"ephemeral", "ephemeralContainers: [{name: e, image: e:1}]", "they cannot be there from the start", []string{"spec.ephemeralContainers: Forbidden"}},
		{"overhead", "overhead: {cpu: -1}", "nothing is won", []string{"spec.overhead[cpu]: Invalid value"}},
		{"pod resources", "resources: {requests: {cpu: 2, storage: 1}, limits: {cpu: 1}}", "as for containers",
			[]string{"spec.resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1", "spec.resources.requests[storage]: Unsupported value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validatePod(podWith(t, c.spec, "")), c.want...)
		})
	}
}

func TestValidateContainer(t *testing.T) {
	const at = "spec.containers[0]."
	for _, c := range []struct {
		name, container, reason string
		want                    []string
	}{
		{"large pages", "resources: {limits: {hugepages-2Mi: 3Mi}}", "whole pages, and something beside them",
			[]string{"resources: Forbidden: HugePages require cpu or memory", "limits[hugepages-2Mi]: Invalid value: \"3Mi\": must be a multiple of the page size 2Mi", "requests[hugepages-2Mi]: Invalid value"}},
		{"pages of no size", "resources: {limits: {cpu: 1, hugepages-huge: 1}}", "the name says it", []string{"limits[hugepages-huge]: Invalid value", "requests[hugepages-huge]: Invalid value"}},
		{"pull policy", "imagePullPolicy: Now", "only three are known", []string{at + "imagePullPolicy: Unsupported value: \"Now\""}},
		{"port", "ports: [{containerPort: 0}, {containerPort: 70000}, {containerPort: 1, name: Too_Long_For_A_Port}]", "numbers and names",
			[]string{at + "ports[0].containerPort: Required value", at + "ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
				at + "ports[2].name: Invalid value", at + "ports[2].name: Invalid value"}},
		{"port names", "ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]", "a name means one port", []string{at + `ports[1].name: Duplicate value: "a"`}},
		{"host ports", "ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]", "one port of the node, one owner",
			[]string{at + `ports[1].hostPort: Duplicate value: "TCP//5"`}},
		{"host ports of protocols", "ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5, protocol: UDP}]", "they do not meet", nil},
		{"protocol", "ports: [{containerPort: 1, protocol: ICMP}]", "not a port protocol", []string{`supported values: "SCTP", "TCP", "UDP"`}},
		{"env name", `env: [{name: "a=b"}, {value: c}]`, "no '=' in a name", []string{at + "env[0].name: Invalid value", at + "env[1].name: Required value"}},
		{"env both", "env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "one value",
			[]string{at + "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"}},
		{"env none", "env: [{name: A, valueFrom: {}}]", "from where?", []string{"must specify one of: `fieldRef`"}},
		{"env two", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: a, key: b}}}]", "from which?",
			[]string{"may not have more than one field specified at a time"}},
		{"env field", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.foo}}}]", "not every field is offered", []string{"fieldPath: Unsupported value: \"spec.foo\""}},
		{"env resource", "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1Gi}}}, {name: B, valueFrom: {resourceFieldRef: {resource: cpu}}}]",
			"divisors fit the resource", []string{"only divisor's values 1m, 1 are supported with the resource", "resource: Unsupported value: \"cpu\""}},
		{"env key", "env: [{name: A, valueFrom: {configMapKeyRef: {name: c}}}]", "which key?", []string{"configMapKeyRef.key: Required value"}},
		{"env from", "envFrom: [{}, {configMapRef: {name: a}, secretRef: {name: b}}]", "one source each",
			[]string{"must specify one of: `configMapRef` or `secretRef`", "may not have more than one field specified at a time"}},
		{"mount unknown", "volumeMounts: [{name: v, mountPath: /a}]", "there is no such volume", []string{at + `volumeMounts[0].name: Not found: "v"`}},
		{"request above limit", "resources: {limits: {cpu: 1}, requests: {cpu: 2}}", "nobody may need more than they may use",
			[]string{at + `resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`}},
		{"negative", "resources: {limits: {memory: -1}}", "less than nothing",
			[]string{at + `resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0`, at + `resources.requests[memory]: Invalid value`}},
		{"resource name", "resources: {limits: {storage: 1}}", "not a container's", []string{"limits[storage]: Invalid value: \"storage\": must be a standard resource for containers",
			"requests[storage]: Invalid value"}},
		{"device", "resources: {limits: {example.com/gpu: 1}, requests: {example.com/gpu: 1}}", "whole and equal", nil},
		{"device parts", "resources: {limits: {example.com/gpu: 500m}}", "there are no half devices", []string{"must be an integer", "must be an integer"}},
		{"device without limit", "resources: {requests: {example.com/gpu: 1}}", "a device is not shared", []string{"limit must be set for non overcommitable resources"}},
		{"probe without handler", "livenessProbe: {}", "what to probe?", []string{at + "livenessProbe: Required value: must specify a handler type"}},
		{"probe with two", "livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}", "one of them", []string{at + "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"}},
		{"probe success", "livenessProbe: {exec: {command: [a]}, successThreshold: 2}", "alive is alive", []string{at + "livenessProbe.successThreshold: Invalid value: 2: must be 1"}},
		{"probe grace", "readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 1}", "readiness kills nobody", []string{"must not be set for readinessProbes"}},
		{"probe port", "livenessProbe: {httpGet: {port: 0, scheme: FTP}}", "port and scheme", []string{"httpGet.port: Invalid value: 0", "httpGet.scheme: Unsupported value: \"FTP\""}},
		{"probe times", "livenessProbe: {exec: {command: [a]}, periodSeconds: -1}", "not negative", []string{"periodSeconds: Invalid value: -1"}},
		{"sleep", "lifecycle: {preStop: {sleep: {seconds: 31}}}", "longer than the pod has to end", []string{"must be non-negative and less than or equal to terminationGracePeriodSeconds"}},
		{"stop signal", "lifecycle: {stopSignal: SIGINT}", "signals depend on the system", []string{"may not be set for containers with empty `spec.os.name`"}},
		{"privilege", "securityContext: {privileged: true, allowPrivilegeEscalation: false}", "contradiction", []string{"cannot set `allowPrivilegeEscalation` to false and `privileged` to true"}},
		{"proc mount", "securityContext: {procMount: Unmasked}", "only in a user namespace", []string{"`hostUsers` must be false to use `Unmasked`"}},
		{"restart rules", "restartPolicyRules: [{action: Restart}]", "rules are exceptions from a policy", []string{at + "restartPolicy: Required value", "exitCodes: Required value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.reason)
			kindtest.WantErrors(t, validatePod(podWith(t, "", c.container)), c.want...)
		})
	}
}

func TestValidateImage(t *testing.T) {
	p := podWith(t, "initContainers: [{name: i}]", "")
	p.Spec.Containers[0].Image = "a "
	kindtest.WantErrors(t, validatePod(p), "spec.initContainers[0].image: Required value",
		`spec.containers[0].image: Invalid value: "a ": must not have leading or trailing whitespace`)
}

func TestValidateMounts(t *testing.T) {
	const volumes = "volumes: [{name: v}]"
	for _, c := range []struct {
		name, mounts string
		want         []string
	}{
		{"same path", "[{name: v, mountPath: /a}, {name: v, mountPath: /a}]", []string{`volumeMounts[1].mountPath: Invalid value: "/a": must be unique`}},
		{"no path", "[{name: v}]", []string{"mountPath: Required value"}},
		{"sub path out", "[{name: v, mountPath: /a, subPath: ../b}]", []string{"subPath: Invalid value: \"../b\": must not contain '..'"}},
		{"sub path absolute", "[{name: v, mountPath: /a, subPath: /b}]", []string{"subPath: Invalid value: \"/b\": must be a relative path"}},
		{"sub path twice", "[{name: v, mountPath: /a, subPath: b, subPathExpr: $(B)}]", []string{"subPathExpr and subPath are mutually exclusive"}},
		{"propagation", "[{name: v, mountPath: /a, mountPropagation: Bidirectional}]", []string{"available only to privileged containers"}},
		{"recursive", "[{name: v, mountPath: /a, recursiveReadOnly: Enabled}]", []string{"may only be specified when readOnly is true"}},
		{"good", "[{name: v, mountPath: /a, readOnly: true, recursiveReadOnly: IfPossible}, {name: v, mountPath: /b, subPath: c}]", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validatePod(podWith(t, volumes, "volumeMounts: "+c.mounts)), c.want...)
		})
	}
}

func TestValidateInitContainers(t *testing.T) {
	for _, c := range []struct {
		name, init string
		want       []string
	}{
		{"probes need a sidecar", "{name: i, image: i:1, lifecycle: {}, readinessProbe: {exec: {command: [a]}}}", []string{
			"spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always", "spec.initContainers[0].readinessProbe: Forbidden"}},
		{"a sidecar has them", "{name: i, image: i:1, restartPolicy: Always, readinessProbe: {exec: {command: [a]}}}", nil},
		{"names are shared with containers", "{name: a, image: i:1}", []string{`spec.initContainers[0].name: Duplicate value: "a"`}},
		{"one host port twice in one container", "{name: i, image: i:1, ports: [{containerPort: 1, hostPort: 1}, {containerPort: 2, hostPort: 1}]}",
			[]string{"spec.initContainers[0].ports[1].hostPort: Duplicate value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.WantErrors(t, validatePod(podWith(t, "initContainers: ["+c.init+"]", "")), c.want...)
		})
	}
}

func TestWarnPod(t *testing.T) {
	p := podWith(t, `
    volumes: [{name: c, csi: {driver: d}}, {name: e, emptyDir: {medium: HugePages}}],
    affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a}]}}, shareProcessNamespace: true,
    terminationGracePeriodSeconds: -1, nodeSelector: {beta.kubernetes.io/os: linux}, hostAliases: [{ip: 1.1.1.1}, {ip: 1.1.1.1}], imagePullSecrets: [{name: ''}, {name: a}, {name: a}],
    topologySpreadConstraints: [{maxSkew: 1, whenUnsatisfiable: DoNotSchedule, topologyKey: failure-domain.beta.kubernetes.io/zone}]`,
		"env: [{name: A, value: a}, {name: A, value: b}], ports: [{containerPort: 1}, {containerPort: 1}, {containerPort: 1, protocol: UDP}], resources: {requests: {memory: 100m}}")
	got := warnPod(p, nil, false)
	want := []string{"spec.shareProcessNamespace:", "spec.volumes[0].csi:",
		"spec.volumes[1].emptyDir.medium:", "spec.containers[0].env[1]: hides previous definition of \"A\"",
		"spec.terminationGracePeriodSeconds: must be >= 0", "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14", "spec.hostAliases[1].ip: duplicate ip",
		"spec.imagePullSecrets[0].name: invalid empty name", "spec.imagePullSecrets[2].name: duplicate name \"a\"", "spec.topologySpreadConstraints[0].topologyKey: failure-domain",
		"spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]", "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\""}
	var errs field.ErrorList
	for _, w := range got {
		errs = append(errs, field.Invalid(field.NewPath(w), "", ""))
	}
	kindtest.WantErrors(t, errs, want...)
	if again := warnPod(p, p.DeepCopy(), true); again != nil {
		t.Errorf("an update that changes nothing warns %q", again)
	}
	full := kindtest.From[corev1.Pod](t, kindtest.FullPod)
	podspec.DefaultPod(full)
	full.Spec.TopologySpreadConstraints = nil
	if got := warnPod(full, nil, false); len(got) != 0 {
		t.Errorf("a pod that uses only what is served warns %q", got)
	}
}
