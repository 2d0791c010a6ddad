package flowcontrol

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/auth"
)

// Schemas returns the FlowSchemas that a cluster starts with. Those named exempt and
// catch-all always are as they are here; the others are a suggestion.
func Schemas() []*flowcontrolv1.FlowSchema {
	system, everywhere := "kube-system", []string{flowcontrolv1.NamespaceEvery}
	group := func(name string) flowcontrolv1.Subject {
		return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: name}}
	}
	user := func(name string) flowcontrolv1.Subject {
		return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: name}}
	}
	accounts := func(name string) flowcontrolv1.Subject {
		return flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindServiceAccount,
			ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Name: name, Namespace: system}}
	}
	anything := []flowcontrolv1.ResourcePolicyRule{resources(everything, everything, everything, true, everywhere)}
	leases := resources([]string{"get", "create", "update"}, []string{"coordination.k8s.io"}, []string{"leases"}, false, everywhere)
	everybody := []flowcontrolv1.Subject{group(auth.GroupUnauthenticated), group(auth.GroupAuthenticated)}
	return []*flowcontrolv1.FlowSchema{
		schema(flowcontrolv1.FlowSchemaNameExempt, flowcontrolv1.PriorityLevelConfigurationNameExempt, 1, "", anything, anyURL, group(auth.GroupMasters)),
		schema("probes", flowcontrolv1.PriorityLevelConfigurationNameExempt, 2, "", nil, urls([]string{"get"}, "/healthz", "/readyz", "/livez"), everybody...),
		schema("system-leader-election", "leader-election", 100, byUser, []flowcontrolv1.ResourcePolicyRule{leases}, nil,
			user(auth.UserControllerManager), user(auth.UserScheduler), accounts(flowcontrolv1.NameAll)),
		schema("endpoint-controller", "workload-high", 150, byUser, []flowcontrolv1.ResourcePolicyRule{
			resources([]string{"get", "create", "update"}, []string{""}, []string{"endpoints"}, false, everywhere)}, nil,
			user(auth.UserControllerManager), accounts("endpoint-controller"), accounts("endpointslicemirroring-controller")),
		schema("workload-leader-election", "leader-election", 200, byUser, []flowcontrolv1.ResourcePolicyRule{leases}, nil, accounts(flowcontrolv1.NameAll)),
		schema("system-node-high", "node-high", 400, byUser, []flowcontrolv1.ResourcePolicyRule{
			resources(everything, []string{""}, []string{"nodes", "nodes/status"}, true, everywhere),
			resources(everything, []string{"coordination.k8s.io"}, []string{"leases"}, false, everywhere)}, nil, group(auth.GroupNodes)),
		schema("system-nodes", "system", 500, byUser, anything, anyURL, group(auth.GroupNodes)),
		schema("kube-controller-manager", "workload-high", 800, byNamespace, anything, anyURL, user(auth.UserControllerManager)),
		schema("kube-scheduler", "workload-high", 800, byNamespace, anything, anyURL, user(auth.UserScheduler)),
		schema("kube-system-service-accounts", "workload-high", 900, byNamespace, anything, anyURL, accounts(flowcontrolv1.NameAll)),
		schema("service-accounts", "workload-low", 9000, byUser, anything, anyURL, group(auth.GroupServiceAccounts)),
		schema("global-default", "global-default", 9900, byUser, anything, anyURL, everybody...),
		schema(flowcontrolv1.FlowSchemaNameCatchAll, flowcontrolv1.PriorityLevelConfigurationNameCatchAll, flowcontrolv1.FlowSchemaMaxMatchingPrecedence, byUser, anything, anyURL, everybody...),
	}
}

const (
	byUser      = flowcontrolv1.FlowDistinguisherMethodByUserType
	byNamespace = flowcontrolv1.FlowDistinguisherMethodByNamespaceType
)

var (
	everything = []string{flowcontrolv1.VerbAll}
	anyURL     = urls([]string{flowcontrolv1.VerbAll}, flowcontrolv1.NonResourceAll)
)

func resources(verbs, groups, names []string, clusterScope bool, namespaces []string) flowcontrolv1.ResourcePolicyRule {
	return flowcontrolv1.ResourcePolicyRule{Verbs: verbs, APIGroups: groups, Resources: names, ClusterScope: clusterScope, Namespaces: namespaces}
}

func urls(verbs []string, paths ...string) []flowcontrolv1.NonResourcePolicyRule {
	return []flowcontrolv1.NonResourcePolicyRule{{Verbs: verbs, NonResourceURLs: paths}}
}

func schema(name, level string, precedence int32, method flowcontrolv1.FlowDistinguisherMethodType,
	resources []flowcontrolv1.ResourcePolicyRule, urls []flowcontrolv1.NonResourcePolicyRule, subjects ...flowcontrolv1.Subject,
) *flowcontrolv1.FlowSchema {
	s := &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level}, MatchingPrecedence: precedence,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{Subjects: subjects, ResourceRules: resources, NonResourceRules: urls}},
		},
	}
	if method != "" {
		s.Spec.DistinguisherMethod = &flowcontrolv1.FlowDistinguisherMethod{Type: method}
	}
	return s.DeepCopy() // the rules are shared
}

// Levels returns the PriorityLevelConfigurations that a cluster starts with.
func Levels() []*flowcontrolv1.PriorityLevelConfiguration {
	exempt := level(flowcontrolv1.PriorityLevelConfigurationNameExempt)
	exempt.Spec = flowcontrolv1.PriorityLevelConfigurationSpec{
		Type:   flowcontrolv1.PriorityLevelEnablementExempt,
		Exempt: &flowcontrolv1.ExemptPriorityLevelConfiguration{NominalConcurrencyShares: ptr.To[int32](0), LendablePercent: ptr.To[int32](0)},
	}
	catchAll := limited(flowcontrolv1.PriorityLevelConfigurationNameCatchAll, 5, 0, nil)
	return []*flowcontrolv1.PriorityLevelConfiguration{
		exempt, catchAll,
		limited("system", 30, 33, queues(64, 6)),
		limited("node-high", 40, 25, queues(64, 6)),
		limited("leader-election", 10, 0, queues(16, 4)),
		limited("workload-high", 40, 50, queues(128, 6)),
		limited("workload-low", 100, 90, queues(128, 6)),
		limited("global-default", 20, 50, queues(128, 6)),
	}
}

func level(name string) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}},
	}
}

func queues(n, hand int32) *flowcontrolv1.QueuingConfiguration {
	return &flowcontrolv1.QueuingConfiguration{Queues: n, HandSize: hand, QueueLengthLimit: defaultQueueLength}
}

// limited is a level whose requests wait in queues, or are refused if it has none.
func limited(name string, shares, lendable int32, q *flowcontrolv1.QueuingConfiguration) *flowcontrolv1.PriorityLevelConfiguration {
	l := level(name)
	response := flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}
	if q != nil {
		response = flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue, Queuing: q}
	}
	l.Spec = flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited,
		Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: &shares, LendablePercent: &lendable, LimitResponse: response,
		},
	}
	return l
}

// mandatorySchema returns the FlowSchema of that name if it is one that may not be changed.
func mandatorySchema(name string) *flowcontrolv1.FlowSchema {
	if name != flowcontrolv1.FlowSchemaNameExempt && name != flowcontrolv1.FlowSchemaNameCatchAll {
		return nil
	}
	for _, s := range Schemas() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// mandatoryLevel returns the level of that name if it is one that may hardly be changed.
func mandatoryLevel(name string) *flowcontrolv1.PriorityLevelConfiguration {
	if name != flowcontrolv1.PriorityLevelConfigurationNameExempt && name != flowcontrolv1.PriorityLevelConfigurationNameCatchAll {
		return nil
	}
	for _, l := range Levels() {
		if l.Name == name {
			return l
		}
	}
	return nil
}
