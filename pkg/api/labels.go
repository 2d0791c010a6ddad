package api

// Names of labels and annotations that more than one component reads and that
// k8s.io/api does not name.
const (
	// LabelNodeRolePrefix starts a label that gives a node a role:
	// node-role.kubernetes.io/control-plane.
	LabelNodeRolePrefix = "node-role.kubernetes.io/"
	// LabelNodeRole gives a node a role by its value.
	LabelNodeRole = "kubernetes.io/role"
	// LabelServiceProxyName keeps a Service away from the proxy when it names another.
	LabelServiceProxyName = "service.kubernetes.io/service-proxy-name"
	// LabelPodTemplateHash tells the ReplicaSets of one Deployment apart.
	LabelPodTemplateHash = "pod-template-hash"
	// AnnotationRevision is the number of a Deployment's revision, on it and its ReplicaSets.
	AnnotationRevision = "deployment.kubernetes.io/revision"
	// AnnotationDesiredReplicas is what the Deployment wanted when it last scaled this ReplicaSet.
	AnnotationDesiredReplicas = "deployment.kubernetes.io/desired-replicas"
	// AnnotationMaxReplicas is desired-replicas plus the surge.
	AnnotationMaxReplicas = "deployment.kubernetes.io/max-replicas"
	// AnnotationChangeCause says why a revision was made; `kubectl rollout history` prints it.
	AnnotationChangeCause = "kubernetes.io/change-cause"
	// AnnotationConfigSource and AnnotationConfigHash come with pods that a node reads from files.
	AnnotationConfigSource = "kubernetes.io/config.source"
	// AnnotationConfigHash identifies the file that such a pod was read from.
	AnnotationConfigHash = "kubernetes.io/config.hash"
	// AnnotationDefaultContainer is the container that log and exec take when none is named.
	AnnotationDefaultContainer = "kubectl.kubernetes.io/default-container"
)
