package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/pkg/api"
)

// containers checks the containers of both kinds. They share one space of names.
func (c *podSpecCheck) containers(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(c.spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	names := map[string]bool{}
	for i := range c.spec.Containers {
		errs = append(errs, c.appContainer(&c.spec.Containers[i], names, path.Child("containers").Index(i))...)
	}
	for i := range c.spec.InitContainers {
		errs = append(errs, c.initContainer(&c.spec.InitContainers[i], names, path.Child("initContainers").Index(i))...)
	}
	errs = append(errs, c.ephemeralContainers(names, path.Child("ephemeralContainers"))...)
	errs = append(errs, c.hostPorts(c.spec.Containers, path.Child("containers"))...)
	return append(errs, c.sidecarHostPorts(path.Child("initContainers"))...)
}

func (c *podSpecCheck) appContainer(ctr *corev1.Container, names map[string]bool, path *field.Path) field.ErrorList {
	errs := c.anyContainer(ctr, names, path)
	return append(errs, c.lifecycleAndProbes(ctr, path)...)
}

// initContainer refuses what needs a container that goes on running, unless it is a sidecar.
func (c *podSpecCheck) initContainer(ctr *corev1.Container, names map[string]bool, path *field.Path) field.ErrorList {
	errs := c.anyContainer(ctr, names, path)
	if api.IsSidecar(ctr) {
		return append(errs, c.lifecycleAndProbes(ctr, path)...)
	}
	return append(errs, kind.Forbidden(path, "may not be set for init containers without restartPolicy=Always",
		kind.Given{Name: "lifecycle", Set: ctr.Lifecycle != nil},
		kind.Given{Name: "livenessProbe", Set: ctr.LivenessProbe != nil},
		kind.Given{Name: "readinessProbe", Set: ctr.ReadinessProbe != nil},
		kind.Given{Name: "startupProbe", Set: ctr.StartupProbe != nil})...)
}

// anyContainer checks what all containers have in common.
func (c *podSpecCheck) anyContainer(ctr *corev1.Container, names map[string]bool, path *field.Path) field.ErrorList {
	errs := uniqueLabel(ctr.Name, names, path.Child("name"))
	switch image := path.Child("image"); {
	case ctr.Image == "":
		errs = append(errs, field.Required(image, ""))
	case strings.TrimSpace(ctr.Image) != ctr.Image:
		errs = append(errs, field.Invalid(image, ctr.Image, "must not have leading or trailing whitespace"))
	}
	errs = append(errs, kind.RequiredOneOf(ctr.ImagePullPolicy, path.Child("imagePullPolicy"),
		corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, kind.RequiredOneOf(ctr.TerminationMessagePolicy, path.Child("terminationMessagePolicy"),
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validateContainerPorts(ctr.Ports, path.Child("ports"))...)
	errs = append(errs, validateEnvs(ctr.Env, path.Child("env"))...)
	errs = append(errs, validateEnvFrom(ctr.EnvFrom, path.Child("envFrom"))...)
	errs = append(errs, c.mounts(ctr, path)...)
	errs = append(errs, c.containerResources(&ctr.Resources, path.Child("resources"))...)
	errs = append(errs, c.resizePolicy(ctr.ResizePolicy, path.Child("resizePolicy"))...)
	errs = append(errs, validateRestartRules(ctr, path)...)
	return append(errs, c.containerSecurity(ctr.SecurityContext, path.Child("securityContext"))...)
}

func validateContainerPorts(ports []corev1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != "" {
			errs = append(errs, kind.Invalids(at.Child("name"), p.Name, utilvalidation.IsValidPortName(p.Name))...)
			if names[p.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names[p.Name] = true
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, kind.ValidPort(p.ContainerPort, at.Child("containerPort"))...)
		}
		if p.HostPort != 0 {
			errs = append(errs, kind.ValidPort(p.HostPort, at.Child("hostPort"))...)
		}
		if p.HostIP != "" {
			errs = append(errs, utilvalidation.IsValidIPForLegacyField(at.Child("hostIP"), p.HostIP, false, nil)...)
		}
		errs = append(errs, kind.ValidateProtocol(p.Protocol, at.Child("protocol"))...)
	}
	return errs
}

// hostPorts checks that no two containers take the same port of the node, and that on the
// host's network a container port is the host's.
func (c *podSpecCheck) hostPorts(containers []corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	taken := map[string]bool{}
	for i := range containers {
		for j, p := range containers[i].Ports {
			at := path.Index(i).Child("ports").Index(j)
			if p.HostPort == 0 {
				continue
			}
			if c.spec.HostNetwork && p.HostPort != p.ContainerPort {
				errs = append(errs, field.Invalid(at.Child("containerPort"), p.ContainerPort, "must match `hostPort` when `hostNetwork` is true"))
			}
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if taken[key] {
				errs = append(errs, field.Duplicate(at.Child("hostPort"), key))
			}
			taken[key] = true
		}
	}
	return errs
}

// sidecarHostPorts checks the init containers one by one: they need not run together.
func (c *podSpecCheck) sidecarHostPorts(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range c.spec.InitContainers {
		for _, err := range c.hostPorts(c.spec.InitContainers[i:i+1], path) {
			err.Field = strings.Replace(err.Field, path.Index(0).String(), path.Index(i).String(), 1)
			errs = append(errs, err)
		}
	}
	return errs
}

func (c *podSpecCheck) resizePolicy(policies []corev1.ContainerResizePolicy, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceName]bool{}
	for i, p := range policies {
		at := path.Index(i)
		errs = append(errs, kind.RequiredOneOf(p.ResourceName, at.Child("resourceName"), corev1.ResourceCPU, corev1.ResourceMemory)...)
		errs = append(errs, kind.RequiredOneOf(p.RestartPolicy, at.Child("restartPolicy"), corev1.NotRequired, corev1.RestartContainer)...)
		if c.spec.RestartPolicy == corev1.RestartPolicyNever && p.RestartPolicy == corev1.RestartContainer {
			errs = append(errs, field.Invalid(at.Child("restartPolicy"), p.RestartPolicy, "must be NotRequired when `spec.restartPolicy` is Never"))
		}
		if seen[p.ResourceName] {
			errs = append(errs, field.Duplicate(at, p.ResourceName))
		}
		seen[p.ResourceName] = true
	}
	return errs
}

// maxRestartRules and maxExitCodes bound what a container says about its restarts.
const (
	maxRestartRules = 20
	maxExitCodes    = 255
)

func validateRestartRules(ctr *corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ctr.RestartPolicy != nil {
		errs = append(errs, kind.OneOf(*ctr.RestartPolicy, path.Child("restartPolicy"), corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)...)
	}
	rules := path.Child("restartPolicyRules")
	if len(ctr.RestartPolicyRules) > 0 && ctr.RestartPolicy == nil {
		errs = append(errs, field.Required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
	}
	if n := len(ctr.RestartPolicyRules); n > maxRestartRules {
		errs = append(errs, field.TooMany(rules, n, maxRestartRules))
	}
	for i, r := range ctr.RestartPolicyRules {
		at := rules.Index(i)
		errs = append(errs, kind.RequiredOneOf(r.Action, at.Child("action"),
			corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		if r.ExitCodes == nil {
			errs = append(errs, field.Required(at.Child("exitCodes"), "must be specified"))
			continue
		}
		errs = append(errs, kind.RequiredOneOf(r.ExitCodes.Operator, at.Child("exitCodes", "operator"),
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
		if n := len(r.ExitCodes.Values); n > maxExitCodes {
			errs = append(errs, field.TooMany(at.Child("exitCodes", "values"), n, maxExitCodes))
		}
	}
	return errs
}
