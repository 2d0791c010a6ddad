package usage

import (
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// counters is what a node, or one container, has used until a moment.
type counters struct {
	cpu    float64 // seconds since it started
	memory float64 // bytes now
	at     time.Time
	full   bool // both are known
}

// containerID names a container of a pod.
type containerID struct{ namespace, pod, container string }

// reading is what one node told at one time.
type reading struct {
	node       counters
	containers map[containerID]counters
}

// read makes a reading of what a node tells. Samples without a time are as old as the answer.
func read(r io.Reader, now time.Time) (reading, error) {
	out := reading{containers: map[containerID]counters{}}
	cpu, memory := map[containerID]bool{}, map[containerID]bool{}
	err := parse(r, func(s sample) {
		if s.at.IsZero() {
			s.at = now
		}
		id := containerID{s.labels["namespace"], s.labels["pod"], s.labels["container"]}
		c := out.containers[id]
		switch s.name {
		case "node_cpu_usage_seconds_total":
			out.node.cpu, out.node.at = s.value, s.at
			return
		case "node_memory_working_set_bytes":
			out.node.memory = s.value
			out.node.full = !out.node.at.IsZero()
			return
		case "container_cpu_usage_seconds_total":
			c.cpu, c.at, cpu[id] = s.value, s.at, true
		case "container_memory_working_set_bytes":
			c.memory, memory[id] = s.value, true
		default:
			return
		}
		c.full = cpu[id] && memory[id]
		out.containers[id] = c
	})
	return out, err
}

// between returns what was used between two readings; ok is false if they do not tell.
func between(old, now counters) (use corev1.ResourceList, window time.Duration, ok bool) {
	window = now.at.Sub(old.at)
	if !old.full || !now.full || window <= 0 || now.cpu < old.cpu { // it was started again
		return nil, 0, false
	}
	nanocores := (now.cpu - old.cpu) / window.Seconds() * 1e9
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(nanocores), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(now.memory), resource.BinarySI),
	}, window, true
}
