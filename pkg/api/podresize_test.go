package api

import "testing"

// TestPodFootprint: https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources
// and KEP-1287, "Scheduler and API server interaction".
func TestPodFootprint(t *testing.T) {
	const (
		grows      = "containers: [{name: a, resources: {requests: {cpu: 4}}}, {name: b, resources: {requests: {cpu: 1}}}]"
		shrinks    = "containers: [{name: a, resources: {requests: {cpu: 1}}}, {name: b, resources: {requests: {cpu: 1}}}]"
		had        = "containerStatuses: [{name: a, allocatedResources: {cpu: 2}, resources: {requests: {cpu: 2}}}]"
		deferred   = "conditions: [{type: PodResizePending, status: 'True', reason: Deferred}], "
		infeasible = "conditions: [{type: PodResizePending, status: 'True', reason: Infeasible}], "
	)
	for _, c := range []struct{ name, spec, status, footprint, allocated, reason string }{
		{"no status", grows, "", "5", "5", "it does not run yet"},
		{"asked for", grows, had, "5", "5", "the kubelet has not seen it yet: what is wanted may be granted at any time"},
		{"deferred", grows, deferred + had, "5", "3", "others may not take what it waits for; its node sets nothing aside"},
		{"infeasible", grows, infeasible + had, "3", "3", "it will never have more on this node"},
		{"granted, not given", grows, "containerStatuses: [{name: a, allocatedResources: {cpu: 4}, resources: {requests: {cpu: 2}}}]", "5", "5", "it is on its way"},
		{"shrinks", shrinks, had, "3", "2", "it still has it"},
		{"shrinks, set aside", shrinks, "containerStatuses: [{name: a, allocatedResources: {cpu: 1}, resources: {requests: {cpu: 2}}}]", "3", "2", "it still has it"},
		{"a sidecar", "initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 4}}}], " + shrinks,
			infeasible + "initContainerStatuses: [{name: s, allocatedResources: {cpu: 2}}]", "4", "4", "it is resized like others"},
		{"the pod's own word", "resources: {requests: {cpu: 9}}, " + grows, infeasible + had + ", allocatedResources: {cpu: 6}", "6", "6", "its status says so too"},
		{"status without sizes", grows, infeasible + "containerStatuses: [{name: a}]", "5", "5", "nothing else is known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := podFrom(t, "spec: {"+c.spec+"}\nstatus: {"+c.status+"}")
			footprint, allocated := PodFootprint(p), PodAllocated(p)
			if got := footprint.Cpu().String(); got != c.footprint {
				t.Errorf("others may not have %s, want %s: %s", got, c.footprint, c.reason)
			}
			if got := allocated.Cpu().String(); got != c.allocated {
				t.Errorf("%s is set aside, want %s: %s", got, c.allocated, c.reason)
			}
		})
	}
}
