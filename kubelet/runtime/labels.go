package runtime

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"github.com/miniorch/miniorch/kubelet/container"
)

// Labels beyond those that kubelet/container publishes: what is needed to observe, stop
// and remove a container without its spec.
const (
	labelImage       = "miniorch.dev/image"
	labelImageID     = "miniorch.dev/image-id"
	labelLogPath     = "miniorch.dev/log-path"
	labelLogURI      = "miniorch.dev/log-uri"
	labelTermination = "miniorch.dev/termination-message"
	labelCgroup      = "miniorch.dev/cgroup"
	labelStopSignal  = "miniorch.dev/stop-signal"
	labelShimGroup   = "miniorch.dev/shim-group"
	labelTTY         = "miniorch.dev/tty"
	labelStdin       = "miniorch.dev/stdin"
	labelStarted     = "miniorch.dev/started-at"
	labelExit        = "miniorch.dev/exit"

	// maxLabel is containerd's limit to the length of a label's key and value together.
	maxLabel = 4096
)

// exitRecord is how a container ended, kept in a label once its task is gone.
type exitRecord struct {
	Code       int       `json:"code"`
	Reason     string    `json:"reason,omitempty"`
	Message    string    `json:"message,omitempty"`
	FinishedAt time.Time `json:"finishedAt"`
}

// encode renders the record within the limit of a label.
func (e exitRecord) encode() string {
	for {
		data, err := json.Marshal(e)
		if err != nil {
			// A year beyond 9999 is the only thing here that JSON cannot say.
			e.FinishedAt = time.Time{}
			continue
		}
		if over := len(data) + len(labelExit) - maxLabel; over > 0 {
			e.Message = e.Message[:max(0, len(e.Message)-over)]
			continue
		}
		return string(data)
	}
}

func decodeExit(value string) (exitRecord, bool) {
	var e exitRecord
	if value == "" || json.Unmarshal([]byte(value), &e) != nil {
		return exitRecord{}, false
	}
	return e, true
}

// identityLabels are what a container carries to be recognized by.
func identityLabels(spec container.ContainerSpec) map[string]string {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		container.LabelPodUID:        spec.PodUID,
		container.LabelPodNamespace:  spec.PodNamespace,
		container.LabelPodName:       spec.PodName,
		container.LabelContainerName: spec.Name,
		container.LabelKind:          string(spec.Kind),
		container.LabelRestartCount:  strconv.Itoa(spec.RestartCount),
		container.LabelSpecHash:      spec.SpecHash,
		labelImage:                   spec.Image,
		labelLogPath:                 spec.LogPath,
		labelTermination:             spec.TerminationMessageHostPath,
	})
	if spec.TTY {
		labels[labelTTY] = "true"
	}
	if spec.Stdin {
		labels[labelStdin] = "true"
	}
	return labels
}

// fromLabels is the part of an observation that never changes.
func fromLabels(id string, labels map[string]string) container.Container {
	restarts, _ := strconv.Atoi(labels[container.LabelRestartCount]) // ours: always a number
	return container.Container{
		ID:                     id,
		PodUID:                 labels[container.LabelPodUID],
		PodNamespace:           labels[container.LabelPodNamespace],
		PodName:                labels[container.LabelPodName],
		Name:                   labels[container.LabelContainerName],
		Kind:                   container.Kind(labels[container.LabelKind]),
		RestartCount:           restarts,
		SpecHash:               labels[container.LabelSpecHash],
		Image:                  labels[labelImage],
		ImageID:                labels[labelImageID],
		LogPath:                labels[labelLogPath],
		TerminationMessagePath: labels[labelTermination],
		CgroupPath:             labels[labelCgroup],
		Labels:                 labels,
	}
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
