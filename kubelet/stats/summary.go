package stats

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Summary is the document of /stats/summary. Its fields carry the names of version v1alpha1 of
// Kubernetes' statistics API; what is not measured is left out.
type Summary struct {
	Node NodeStats  `json:"node"`
	Pods []PodStats `json:"pods"`
}

// NodeStats is the node's part of a Summary.
type NodeStats struct {
	NodeName  string      `json:"nodeName"`
	StartTime metav1.Time `json:"startTime"`
	CPU       *CPUStats   `json:"cpu,omitempty"`
	Memory    *Memory     `json:"memory,omitempty"`
	Swap      *Swap       `json:"swap,omitempty"`
	Fs        *FsStats    `json:"fs,omitempty"`
}

// PodStats is a pod's part of a Summary.
type PodStats struct {
	PodRef       PodReference     `json:"podRef"`
	StartTime    metav1.Time      `json:"startTime"`
	Containers   []ContainerStats `json:"containers"`
	CPU          *CPUStats        `json:"cpu,omitempty"`
	Memory       *Memory          `json:"memory,omitempty"`
	Swap         *Swap            `json:"swap,omitempty"`
	ProcessStats *ProcessStats    `json:"process_stats,omitempty"`
}

// PodReference names a pod.
type PodReference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

// ContainerStats is a container's part of a Summary.
type ContainerStats struct {
	Name      string      `json:"name"`
	StartTime metav1.Time `json:"startTime"`
	CPU       *CPUStats   `json:"cpu,omitempty"`
	Memory    *Memory     `json:"memory,omitempty"`
	Swap      *Swap       `json:"swap,omitempty"`
}

// CPUStats is processor time: the total, and per second since the measurement before.
type CPUStats struct {
	Time                 metav1.Time `json:"time"`
	UsageNanoCores       *uint64     `json:"usageNanoCores,omitempty"`
	UsageCoreNanoSeconds *uint64     `json:"usageCoreNanoSeconds,omitempty"`
}

// Memory is memory in use.
type Memory struct {
	Time            metav1.Time `json:"time"`
	UsageBytes      *uint64     `json:"usageBytes,omitempty"`
	WorkingSetBytes *uint64     `json:"workingSetBytes,omitempty"`
	RSSBytes        *uint64     `json:"rssBytes,omitempty"`
	PageFaults      *uint64     `json:"pageFaults,omitempty"`
	MajorPageFaults *uint64     `json:"majorPageFaults,omitempty"`
}

// Swap is swapped memory.
type Swap struct {
	Time           metav1.Time `json:"time"`
	SwapUsageBytes *uint64     `json:"swapUsageBytes,omitempty"`
}

// FsStats is a file system.
type FsStats struct {
	Time           metav1.Time `json:"time"`
	AvailableBytes *uint64     `json:"availableBytes,omitempty"`
	CapacityBytes  *uint64     `json:"capacityBytes,omitempty"`
	UsedBytes      *uint64     `json:"usedBytes,omitempty"`
	InodesFree     *uint64     `json:"inodesFree,omitempty"`
	Inodes         *uint64     `json:"inodes,omitempty"`
	InodesUsed     *uint64     `json:"inodesUsed,omitempty"`
}

// ProcessStats counts processes.
type ProcessStats struct {
	ProcessCount *uint64 `json:"process_count,omitempty"`
}

// Summarize renders a measurement.
func Summarize(n Node) Summary {
	out := Summary{Node: NodeStats{NodeName: n.Name, StartTime: metav1.NewTime(n.Started)}, Pods: []PodStats{}}
	out.Node.CPU, out.Node.Memory, out.Node.Swap = n.Sample.render()
	if d := n.Disk; d.Capacity > 0 {
		out.Node.Fs = &FsStats{
			Time: metav1.NewTime(n.Time), AvailableBytes: &d.Available, CapacityBytes: &d.Capacity, UsedBytes: &d.Used,
			InodesFree: &d.InodesFree, Inodes: &d.Inodes, InodesUsed: &d.InodesUsed,
		}
	}
	for _, p := range n.Pods {
		out.Pods = append(out.Pods, p.render())
	}
	return out
}

func (p Pod) render() PodStats {
	out := PodStats{
		PodRef: PodReference{Name: p.Name, Namespace: p.Namespace, UID: p.UID}, StartTime: metav1.NewTime(p.Started),
		Containers: []ContainerStats{},
	}
	out.CPU, out.Memory, out.Swap = p.Sample.render()
	if !p.Time.IsZero() {
		out.ProcessStats = &ProcessStats{ProcessCount: &p.PIDs}
	}
	for _, c := range p.Containers {
		stats := ContainerStats{Name: c.Name, StartTime: metav1.NewTime(c.Started)}
		stats.CPU, stats.Memory, stats.Swap = c.Sample.render()
		out.Containers = append(out.Containers, stats)
	}
	return out
}

// render returns nothing for what could not be measured.
func (s Sample) render() (*CPUStats, *Memory, *Swap) {
	if s.Time.IsZero() {
		return nil, nil, nil
	}
	at := metav1.NewTime(s.Time)
	total := uint64(s.CPU.Nanoseconds())
	cpu := &CPUStats{Time: at, UsageCoreNanoSeconds: &total}
	if s.Cores >= 0 {
		rate := uint64(s.Cores * 1e9)
		cpu.UsageNanoCores = &rate
	}
	return cpu,
		&Memory{Time: at, UsageBytes: &s.Memory, WorkingSetBytes: &s.WorkingSet, RSSBytes: &s.RSS, PageFaults: &s.Faults, MajorPageFaults: &s.MajorFaults},
		&Swap{Time: at, SwapUsageBytes: &s.Swap}
}
