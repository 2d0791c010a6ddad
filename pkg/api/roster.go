package api

//lint:file-ignore SA1019 clients still read Endpoints.

import (
	"fmt"
	"reflect"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// roster lists the kinds that have a Go type, each with its REST resource. Adding a
// kind to the typed client is one line here.
var roster = []struct {
	zero     Object
	resource Resource
}{
	{&corev1.Namespace{}, Resource{"", "v1", "namespaces", "Namespace", false}},
	{&corev1.Node{}, Resource{"", "v1", "nodes", "Node", false}},
	{&corev1.Pod{}, Resource{"", "v1", "pods", "Pod", true}},
	{&corev1.Service{}, Resource{"", "v1", "services", "Service", true}},
	{&corev1.Endpoints{}, Resource{"", "v1", "endpoints", "Endpoints", true}},
	{&corev1.ConfigMap{}, Resource{"", "v1", "configmaps", "ConfigMap", true}},
	{&corev1.Secret{}, Resource{"", "v1", "secrets", "Secret", true}},
	{&corev1.Event{}, Resource{"", "v1", "events", "Event", true}},
	{&corev1.ServiceAccount{}, Resource{"", "v1", "serviceaccounts", "ServiceAccount", true}},
	{&corev1.PersistentVolume{}, Resource{"", "v1", "persistentvolumes", "PersistentVolume", false}},
	{&corev1.PersistentVolumeClaim{}, Resource{"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true}},
	{&corev1.PodTemplate{}, Resource{"", "v1", "podtemplates", "PodTemplate", true}},
	{&corev1.ResourceQuota{}, Resource{"", "v1", "resourcequotas", "ResourceQuota", true}},
	{&corev1.LimitRange{}, Resource{"", "v1", "limitranges", "LimitRange", true}},
	{&corev1.ComponentStatus{}, Resource{"", "v1", "componentstatuses", "ComponentStatus", false}},
	{&corev1.ReplicationController{}, Resource{"", "v1", "replicationcontrollers", "ReplicationController", true}},
	{&eventsv1.Event{}, Resource{"events.k8s.io", "v1", "events", "Event", true}},
	{&discoveryv1.EndpointSlice{}, Resource{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true}},
	{&coordinationv1.Lease{}, Resource{"coordination.k8s.io", "v1", "leases", "Lease", true}},
	{&appsv1.ReplicaSet{}, Resource{"apps", "v1", "replicasets", "ReplicaSet", true}},
	{&appsv1.Deployment{}, Resource{"apps", "v1", "deployments", "Deployment", true}},
	{&appsv1.StatefulSet{}, Resource{"apps", "v1", "statefulsets", "StatefulSet", true}},
	{&appsv1.DaemonSet{}, Resource{"apps", "v1", "daemonsets", "DaemonSet", true}},
	{&appsv1.ControllerRevision{}, Resource{"apps", "v1", "controllerrevisions", "ControllerRevision", true}},
	{&schedulingv1.PriorityClass{}, Resource{"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false}},
	{&storagev1.StorageClass{}, Resource{"storage.k8s.io", "v1", "storageclasses", "StorageClass", false}},
	{&storagev1.VolumeAttributesClass{}, Resource{"storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", false}},
	{&storagev1.CSIDriver{}, Resource{"storage.k8s.io", "v1", "csidrivers", "CSIDriver", false}},
	{&storagev1.CSINode{}, Resource{"storage.k8s.io", "v1", "csinodes", "CSINode", false}},
	{&storagev1.CSIStorageCapacity{}, Resource{"storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", true}},
	{&storagev1.VolumeAttachment{}, Resource{"storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", false}},
	{&batchv1.Job{}, Resource{"batch", "v1", "jobs", "Job", true}},
	{&batchv1.CronJob{}, Resource{"batch", "v1", "cronjobs", "CronJob", true}},
	{&networkingv1.Ingress{}, Resource{"networking.k8s.io", "v1", "ingresses", "Ingress", true}},
	{&networkingv1.IngressClass{}, Resource{"networking.k8s.io", "v1", "ingressclasses", "IngressClass", false}},
	{&networkingv1.NetworkPolicy{}, Resource{"networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true}},
	{&networkingv1.ServiceCIDR{}, Resource{"networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", false}},
	{&networkingv1.IPAddress{}, Resource{"networking.k8s.io", "v1", "ipaddresses", "IPAddress", false}},
	{&nodev1.RuntimeClass{}, Resource{"node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", false}},
	{&certificatesv1.CertificateSigningRequest{}, Resource{"certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", false}},
	{&certificatesv1.ClusterTrustBundle{}, Resource{"certificates.k8s.io", "v1", "clustertrustbundles", "ClusterTrustBundle", false}},
	{&certificatesv1.PodCertificateRequest{}, Resource{"certificates.k8s.io", "v1", "podcertificaterequests", "PodCertificateRequest", true}},
	{&flowcontrolv1.FlowSchema{}, Resource{"flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", false}},
	{&flowcontrolv1.PriorityLevelConfiguration{}, Resource{"flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", false}},
	{&admissionregistrationv1.MutatingWebhookConfiguration{}, Resource{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false}},
	{&admissionregistrationv1.ValidatingWebhookConfiguration{}, Resource{"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false}},
	{&admissionregistrationv1.ValidatingAdmissionPolicy{}, Resource{"admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", false}},
	{&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, Resource{"admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", false}},
	{&admissionregistrationv1.MutatingAdmissionPolicy{}, Resource{"admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", false}},
	{&admissionregistrationv1.MutatingAdmissionPolicyBinding{}, Resource{"admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", false}},
	{&resourcev1.DeviceClass{}, Resource{"resource.k8s.io", "v1", "deviceclasses", "DeviceClass", false}},
	{&resourcev1.ResourceClaim{}, Resource{"resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", true}},
	{&resourcev1.ResourceClaimTemplate{}, Resource{"resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate", true}},
	{&resourcev1.ResourceSlice{}, Resource{"resource.k8s.io", "v1", "resourceslices", "ResourceSlice", false}},
	{&resourcev1.DeviceTaintRule{}, Resource{"resource.k8s.io", "v1", "devicetaintrules", "DeviceTaintRule", false}},
	{&authenticationv1.TokenReview{}, Resource{"authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false}},
	{&authenticationv1.SelfSubjectReview{}, Resource{"authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", false}},
	{&authorizationv1.SubjectAccessReview{}, Resource{"authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", false}},
	{&authorizationv1.SelfSubjectAccessReview{}, Resource{"authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false}},
	{&authorizationv1.LocalSubjectAccessReview{}, Resource{"authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", true}},
	{&authorizationv1.SelfSubjectRulesReview{}, Resource{"authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false}},
	{&metricsv1beta1.NodeMetrics{}, Resource{"metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", false}},
	{&metricsv1beta1.PodMetrics{}, Resource{"metrics.k8s.io", "v1beta1", "pods", "PodMetrics", true}},
	{&rbacv1.Role{}, Resource{"rbac.authorization.k8s.io", "v1", "roles", "Role", true}},
	{&rbacv1.RoleBinding{}, Resource{"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true}},
	{&rbacv1.ClusterRole{}, Resource{"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false}},
	{&rbacv1.ClusterRoleBinding{}, Resource{"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false}},
	{&autoscalingv2.HorizontalPodAutoscaler{}, Resource{"autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true}},
	{&autoscalingv1.HorizontalPodAutoscaler{}, Resource{"autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true}},
	{&policyv1.PodDisruptionBudget{}, Resource{"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true}},
}

var resourceByType = func() map[reflect.Type]Resource {
	m := make(map[reflect.Type]Resource, len(roster))
	for _, e := range roster {
		m[reflect.TypeOf(e.zero)] = e.resource
	}
	return m
}()

// ResourceFor returns the REST resource of the Go type T. A type that is not in the
// roster is a programming error and panics.
func ResourceFor[T Object]() Resource {
	t := reflect.TypeFor[T]()
	r, ok := resourceByType[t]
	if !ok {
		panic(fmt.Sprintf("api: %v is not in the roster", t))
	}
	return r
}

// ResourceOf returns the REST resource of obj's Go type; ok is false for types that are
// not in the roster (unstructured objects among them).
func ResourceOf(obj Object) (r Resource, ok bool) {
	r, ok = resourceByType[reflect.TypeOf(obj)]
	return r, ok
}

// Resources lists the roster's resources.
func Resources() []Resource {
	rs := make([]Resource, len(roster))
	for i, e := range roster {
		rs[i] = e.resource
	}
	return rs
}
