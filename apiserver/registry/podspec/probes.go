package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// lifecycleAndProbes checks what only a container that goes on running can have.
func (c *podSpecCheck) lifecycleAndProbes(ctr *corev1.Container, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if l := ctr.Lifecycle; l != nil {
		at := path.Child("lifecycle")
		errs = append(errs, validateHandler(l.PostStart, at.Child("postStart"))...)
		errs = append(errs, validateHandler(l.PreStop, at.Child("preStop"))...)
		if l.PreStop != nil && l.PreStop.Sleep != nil {
			errs = append(errs, c.sleepFits(l.PreStop.Sleep, at.Child("preStop", "sleep", "seconds"))...)
		}
		if l.StopSignal != nil {
			errs = append(errs, c.stopSignal(*l.StopSignal, at.Child("stopSignal"))...)
		}
	}
	errs = append(errs, validateProbe(ctr.LivenessProbe, path.Child("livenessProbe"))...)
	errs = append(errs, validateProbe(ctr.ReadinessProbe, path.Child("readinessProbe"))...)
	errs = append(errs, validateProbe(ctr.StartupProbe, path.Child("startupProbe"))...)
	errs = append(errs, succeedsOnce(ctr.LivenessProbe, path.Child("livenessProbe"))...)
	errs = append(errs, succeedsOnce(ctr.StartupProbe, path.Child("startupProbe"))...)
	if p := ctr.ReadinessProbe; p != nil && p.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(path.Child("readinessProbe", "terminationGracePeriodSeconds"),
			*p.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
	}
	return errs
}

// sleepFits checks that a preStop sleep ends within the grace period.
func (c *podSpecCheck) sleepFits(s *corev1.SleepAction, path *field.Path) field.ErrorList {
	grace := int64(DefaultTerminationGracePeriod)
	if g := c.spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	if s.Seconds < 0 || s.Seconds > grace {
		return field.ErrorList{field.Invalid(path, s.Seconds, "must be non-negative and less than or equal to terminationGracePeriodSeconds")}
	}
	return nil
}

func succeedsOnce(p *corev1.Probe, path *field.Path) field.ErrorList {
	if p == nil || p.SuccessThreshold == 1 {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1")}
}

func validateProbe(p *corev1.Probe, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateAction(action{p.Exec, p.HTTPGet, p.TCPSocket, p.GRPC, nil}, path)
	for _, n := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	} {
		errs = append(errs, kind.NotNegative(n.value, path.Child(n.name))...)
	}
	if s := p.TerminationGracePeriodSeconds; s != nil && *s <= 0 {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *s, "must be greater than 0"))
	}
	return errs
}

func validateHandler(h *corev1.LifecycleHandler, path *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	return validateAction(action{h.Exec, h.HTTPGet, h.TCPSocket, nil, h.Sleep}, path)
}

// action is what probes and lifecycle handlers can do; one of them is set.
type action struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

func validateAction(a action, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	handlers := 0
	one := func(name string, set bool, check func(at *field.Path) field.ErrorList) {
		if !set {
			return
		}
		handlers++
		if handlers > 1 {
			errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 handler type"))
			return
		}
		errs = append(errs, check(path.Child(name))...)
	}
	one("exec", a.exec != nil, func(at *field.Path) field.ErrorList {
		if len(a.exec.Command) == 0 {
			return field.ErrorList{field.Required(at.Child("command"), "")}
		}
		return nil
	})
	one("httpGet", a.http != nil, func(at *field.Path) field.ErrorList { return validateHTTPGet(a.http, at) })
	one("tcpSocket", a.tcp != nil, func(at *field.Path) field.ErrorList { return kind.ValidatePortOrName(a.tcp.Port, at.Child("port")) })
	one("grpc", a.grpc != nil, func(at *field.Path) field.ErrorList { return kind.ValidPort(a.grpc.Port, at.Child("port")) })
	one("sleep", a.sleep != nil, func(at *field.Path) field.ErrorList { return kind.NotNegative(a.sleep.Seconds, at.Child("seconds")) })
	if handlers == 0 {
		errs = append(errs, field.Required(path, "must specify a handler type"))
	}
	return errs
}

func validateHTTPGet(a *corev1.HTTPGetAction, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if a.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, kind.ValidatePortOrName(a.Port, path.Child("port"))...)
	errs = append(errs, kind.OneOf(a.Scheme, path.Child("scheme"), corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for i, h := range a.HTTPHeaders {
		errs = append(errs, kind.Invalids(path.Child("httpHeaders").Index(i).Child("name"), h.Name, utilvalidation.IsHTTPHeaderName(h.Name))...)
	}
	return errs
}

// hasProbes tells whether any of the probes satisfies is.
func hasProbes(ctr *corev1.Container, is func(*corev1.Probe) bool) bool {
	return slices.ContainsFunc([]*corev1.Probe{ctr.LivenessProbe, ctr.ReadinessProbe, ctr.StartupProbe},
		func(p *corev1.Probe) bool { return p != nil && is(p) })
}
