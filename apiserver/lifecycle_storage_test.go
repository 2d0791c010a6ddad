package apiserver_test

import "k8s.io/apimachinery/pkg/runtime/schema"

// livesOfStorage are the lives of volumes and what is around them, of the workloads that keep them, and of
// what autoscaling, disruption and priorities are told by.
func livesOfStorage() []life {
	core, apps, storage := group(""), group("apps"), group("storage.k8s.io")
	labels := `{"metadata":{"annotations":{"e2e":"patched"}}}`
	annotated := []string{"metadata", "annotations", "e2e"}
	template := `"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":` + podSpecJSON + `}`
	target := `"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":3`
	condition := `{"conditions":[{"type":"StatusPatched","status":"True","reason":"E2E","message":"Set by a test"}]}`
	conditions := func(times ...string) []any {
		c := map[string]any{"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by a test"}
		for _, field := range times {
			c[field] = nil
		}
		return []any{c}
	}
	return []life{
		{name: "persistentvolumes", resource: core("persistentvolumes"), object: `{"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp/e2e"}}}`,
			patch: `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`, path: []string{"spec", "persistentVolumeReclaimPolicy"}, want: "Delete",
			status: `{"message":"Set by a test","reason":"E2E"}`, statusAt: []string{"status", "reason"}, wanted: "E2E"},
		{name: "persistentvolumeclaims", resource: core("persistentvolumeclaims"), namespace: "default",
			object: `{"spec":{"storageClassName":"","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`, patch: labels, path: annotated, want: "patched",
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastProbeTime", "lastTransitionTime")},
		{name: "storageclasses", resource: storage("storageclasses"), object: `{"provisioner":"example.com/none"}`,
			patch: `{"allowVolumeExpansion":true}`, path: []string{"allowVolumeExpansion"}, want: true},
		{name: "csidrivers", resource: storage("csidrivers"), object: `{"spec":{"attachRequired":false}}`,
			patch: `{"spec":{"requiresRepublish":true}}`, path: []string{"spec", "requiresRepublish"}, want: true},
		{name: "csinodes", resource: storage("csinodes"), object: `{"spec":{"drivers":[]}}`,
			patch: `{"spec":{"drivers":[{"name":"d.example.com","nodeID":"n"}]}}`, path: []string{"spec", "drivers"},
			want: []any{map[string]any{"name": "d.example.com", "nodeID": "n", "topologyKeys": nil}}},
		{name: "csistoragecapacities", resource: storage("csistoragecapacities"), namespace: "default", object: `{"storageClassName":"c"}`,
			patch: `{"capacity":"2Gi"}`, path: []string{"capacity"}, want: "2Gi"},
		{name: "volumeattachments", resource: storage("volumeattachments"), object: `{"spec":{"attacher":"d.example.com","nodeName":"n","source":{"persistentVolumeName":"v"}}}`,
			patch: labels, path: annotated, want: "patched",
			status: `{"attached":false,"attachmentMetadata":{"k":"v"}}`, statusAt: []string{"status", "attachmentMetadata"}, wanted: map[string]any{"k": "v"}},
		{name: "volumeattributesclasses", resource: storage("volumeattributesclasses"), object: `{"driverName":"d.example.com","parameters":{"iops":"1"}}`, patch: labels, path: annotated, want: "patched"},
		{name: "statefulsets", resource: apps("statefulsets"), namespace: "default", object: `{"spec":{"serviceName":"s","replicas":1,` + template + `}}`,
			patch: `{"spec":{"replicas":3}}`, path: []string{"spec", "replicas"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
		{name: "daemonsets", resource: apps("daemonsets"), namespace: "default", object: `{"spec":{` + template + `}}`,
			patch: `{"spec":{"minReadySeconds":3}}`, path: []string{"spec", "minReadySeconds"}, want: int64(3),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
		{name: "horizontalpodautoscalers", resource: schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, namespace: "default",
			object: `{"spec":{` + target + `}}`, patch: `{"spec":{"maxReplicas":5}}`, path: []string{"spec", "maxReplicas"}, want: int64(5),
			status: condition, statusAt: []string{"status", "conditions"}, wanted: conditions("lastTransitionTime")},
		{name: "old horizontalpodautoscalers", resource: group("autoscaling")("horizontalpodautoscalers"), namespace: "default",
			object: `{"spec":{` + target + `}}`, patch: `{"spec":{"targetCPUUtilizationPercentage":50}}`, path: []string{"spec", "targetCPUUtilizationPercentage"}, want: int64(50),
			status: `{"lastScaleTime":"2026-01-02T03:04:05Z"}`, statusAt: []string{"status", "lastScaleTime"}, wanted: "2026-01-02T03:04:05Z"},
		{name: "poddisruptionbudgets", resource: group("policy")("poddisruptionbudgets"), namespace: "default", object: `{"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}`,
			patch: `{"spec":{"minAvailable":2}}`, path: []string{"spec", "minAvailable"}, want: int64(2),
			status: conditionJSON, statusAt: []string{"status", "conditions"}, wanted: conditionAt()},
		{name: "priorityclasses", resource: group("scheduling.k8s.io")("priorityclasses"), object: `{"value":7}`,
			patch: `{"description":"low"}`, path: []string{"description"}, want: "low"},
	}
}
