package openapi

import (
	"reflect"
	"slices"
	"strings"
)

// optional are the fields that may be left out although their tags do not say so: clients that
// check objects themselves would otherwise refuse what the server takes. Kubernetes says it in
// comments, which are not in a program; TestOptional compares this with the sources.
var optional = map[string]string{
	"apps/v1.StatefulSetOrdinals":                      "start",
	"apps/v1.StatefulSetSpec":                          "serviceName",
	"apps/v1.StatefulSetStatus":                        "availableReplicas",
	"apps/v1.StatefulSetCondition":                     "type status",
	"apps/v1.DeploymentCondition":                      "type status",
	"apps/v1.DaemonSetCondition":                       "type status",
	"apps/v1.ReplicaSetCondition":                      "type status",
	"apps/v1.ControllerRevision":                       "revision",
	"authentication/v1.TokenRequest":                   "spec",
	"authentication/v1.TokenRequestSpec":               "audiences expirationSeconds boundObjectRef",
	"authentication/v1.TokenRequestStatus":             "token expirationTimestamp",
	"autoscaling/v2.HorizontalPodAutoscalerStatus":     "currentMetrics",
	"batch/v1.PodFailurePolicyOnPodConditionsPattern":  "status",
	"core/v1.TypedObjectReference":                     "apiGroup",
	"core/v1.AzureFilePersistentVolumeSource":          "secretNamespace",
	"core/v1.ProjectedVolumeSource":                    "sources",
	"core/v1.GRPCAction":                               "service",
	"core/v1.NodeRuntimeHandler":                       "name",
	"core/v1.ContainerImage":                           "names",
	"core/v1.TypedLocalObjectReference":                "apiGroup",
	"core/v1.Event":                                    "reportingComponent reportingInstance",
	"discovery/v1.EndpointSlice":                       "endpoints ports",
	"flowcontrol/v1.FlowSchemaSpec":                    "matchingPrecedence",
	"flowcontrol/v1.ResourcePolicyRule":                "namespaces",
	"flowcontrol/v1.LimitedPriorityLevelConfiguration": "nominalConcurrencyShares",
	"flowcontrol/v1.QueuingConfiguration":              "queues handSize queueLengthLimit",
	"networking/v1.NetworkPolicySpec":                  "podSelector",
	"networking/v1.IngressClassParametersReference":    "scope",
	"policy/v1.PodDisruptionBudgetStatus":              "disruptionsAllowed currentHealthy desiredHealthy expectedPods",
	"rbac/v1.RoleRef":                                  "apiGroup",
	"rbac/v1.Role":                                     "rules",
	"rbac/v1.ClusterRole":                              "rules",
	"resource/v1.CapacityRequestPolicy":                "default",
	"resource/v1.ResourceClaim":                        "spec",
	"resource/v1.ResourceClaimSpec":                    "devices",
	"resource/v1.DeviceClaim":                          "requests",
	"resource/v1.DeviceClass":                          "spec",
	"resource/v1.ResourceClaimTemplate":                "spec",
	"resource/v1.ResourceClaimTemplateSpec":            "spec",
	"resource/v1.AllocatedDeviceStatus":                "conditions",
	"scheduling/v1.PriorityClass":                      "value",
	"storage/v1.CSINodeDriver":                         "topologyKeys",
}

// isOptional tells whether a field of struct t is one of them.
func isOptional(t reflect.Type, tag string) bool {
	name, found := strings.CutPrefix(t.PkgPath(), "k8s.io/api/")
	return found && slices.Contains(strings.Fields(optional[name+"."+t.Name()]), tag)
}
