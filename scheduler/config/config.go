// Package config reads KubeSchedulerConfiguration files (kubescheduler.config.k8s.io/v1): which
// profiles there are, which plugins each has, and how they are tuned. It knows the format and
// its defaults; the plugins themselves it does not know. What a file says and nobody here
// understands is refused, with the path to it.
package config

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// APIVersion and Kind are what a file must say that it is.
const (
	APIVersion = "kubescheduler.config.k8s.io/v1"
	Kind       = "KubeSchedulerConfiguration"
)

// Configuration is a file, as it is written.
type Configuration struct {
	metav1.TypeMeta `json:",inline"`

	Parallelism               int32            `json:"parallelism,omitempty"`
	LeaderElection            LeaderElection   `json:"leaderElection,omitempty"`
	ClientConnection          ClientConnection `json:"clientConnection,omitempty"`
	EnableProfiling           *bool            `json:"enableProfiling,omitempty"`
	EnableContentionProfiling *bool            `json:"enableContentionProfiling,omitempty"`
	PercentageOfNodesToScore  *int32           `json:"percentageOfNodesToScore,omitempty"`
	PodInitialBackoffSeconds  *int64           `json:"podInitialBackoffSeconds,omitempty"`
	PodMaxBackoffSeconds      *int64           `json:"podMaxBackoffSeconds,omitempty"`
	DelayCacheUntilActive     bool             `json:"delayCacheUntilActive,omitempty"`
	Profiles                  []Profile        `json:"profiles,omitempty"`
	Extenders                 []Extender       `json:"extenders,omitempty"`
}

// LeaderElection says how several schedulers choose the one that works.
type LeaderElection struct {
	LeaderElect       *bool           `json:"leaderElect,omitempty"`
	LeaseDuration     metav1.Duration `json:"leaseDuration,omitempty"`
	RenewDeadline     metav1.Duration `json:"renewDeadline,omitempty"`
	RetryPeriod       metav1.Duration `json:"retryPeriod,omitempty"`
	ResourceLock      string          `json:"resourceLock,omitempty"`
	ResourceName      string          `json:"resourceName,omitempty"`
	ResourceNamespace string          `json:"resourceNamespace,omitempty"`
}

// ClientConnection says how a scheduler that runs alone reaches the API server.
type ClientConnection struct {
	Kubeconfig         string  `json:"kubeconfig,omitempty"`
	AcceptContentTypes string  `json:"acceptContentTypes,omitempty"`
	ContentType        string  `json:"contentType,omitempty"`
	QPS                float32 `json:"qps,omitempty"`
	Burst              int32   `json:"burst,omitempty"`
}

// Profile is what pods get that ask for its name.
type Profile struct {
	SchedulerName            *string        `json:"schedulerName,omitempty"`
	PercentageOfNodesToScore *int32         `json:"percentageOfNodesToScore,omitempty"`
	Plugins                  *Plugins       `json:"plugins,omitempty"`
	PluginConfig             []PluginConfig `json:"pluginConfig,omitempty"`
}

// Plugins says, for each extension point, which plugins take part beside the default ones and
// which do not. MultiPoint is about all points that a plugin has.
type Plugins struct {
	PreEnqueue PluginSet `json:"preEnqueue,omitempty"`
	QueueSort  PluginSet `json:"queueSort,omitempty"`
	PreFilter  PluginSet `json:"preFilter,omitempty"`
	Filter     PluginSet `json:"filter,omitempty"`
	PostFilter PluginSet `json:"postFilter,omitempty"`
	PreScore   PluginSet `json:"preScore,omitempty"`
	Score      PluginSet `json:"score,omitempty"`
	Reserve    PluginSet `json:"reserve,omitempty"`
	Permit     PluginSet `json:"permit,omitempty"`
	PreBind    PluginSet `json:"preBind,omitempty"`
	Bind       PluginSet `json:"bind,omitempty"`
	PostBind   PluginSet `json:"postBind,omitempty"`
	MultiPoint PluginSet `json:"multiPoint,omitempty"`
}

// PluginSet is one extension point. "*" in Disabled means all.
type PluginSet struct {
	Enabled  []Plugin `json:"enabled,omitempty"`
	Disabled []Plugin `json:"disabled,omitempty"`
}

// Plugin names one, with the weight of its scores.
type Plugin struct {
	Name   string `json:"name"`
	Weight *int32 `json:"weight,omitempty"`
}

// PluginConfig tunes a plugin. Args stays as it is written until somebody knows its type.
type PluginConfig struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}
