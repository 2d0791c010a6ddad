package podspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
)

// systems refuses what the operating system that the pod names does not have.
func (c *podSpecCheck) systems(path *field.Path) field.ErrorList {
	if c.spec.OS == nil {
		return nil
	}
	sc := ptr.Deref(c.spec.SecurityContext, corev1.PodSecurityContext{})
	var errs field.ErrorList
	switch at := path.Child("securityContext"); c.spec.OS.Name {
	case corev1.Linux:
		errs = kind.Forbidden(at, noWindowsOptions, kind.Given{Name: "windowsOptions", Set: sc.WindowsOptions != nil})
	case corev1.Windows:
		errs = kind.Forbidden(path, notOnWindows,
			kind.Given{Name: "hostPID", Set: c.spec.HostPID}, kind.Given{Name: "hostIPC", Set: c.spec.HostIPC},
			kind.Given{Name: "hostUsers", Set: c.spec.HostUsers != nil}, kind.Given{Name: "shareProcessNamespace", Set: c.spec.ShareProcessNamespace != nil})
		errs = append(errs, kind.Forbidden(at, notOnWindows,
			kind.Given{Name: "appArmorProfile", Set: sc.AppArmorProfile != nil}, kind.Given{Name: "seLinuxOptions", Set: sc.SELinuxOptions != nil},
			kind.Given{Name: "seccompProfile", Set: sc.SeccompProfile != nil}, kind.Given{Name: "fsGroup", Set: sc.FSGroup != nil},
			kind.Given{Name: "fsGroupChangePolicy", Set: sc.FSGroupChangePolicy != nil}, kind.Given{Name: "sysctls", Set: len(sc.Sysctls) > 0},
			kind.Given{Name: "runAsUser", Set: sc.RunAsUser != nil}, kind.Given{Name: "runAsGroup", Set: sc.RunAsGroup != nil},
			kind.Given{Name: "supplementalGroups", Set: len(sc.SupplementalGroups) > 0},
			kind.Given{Name: "supplementalGroupsPolicy", Set: sc.SupplementalGroupsPolicy != nil})...)
	}
	for i := range c.spec.InitContainers {
		errs = append(errs, c.systemOf(c.spec.InitContainers[i].SecurityContext, path.Child("initContainers").Index(i))...)
	}
	for i := range c.spec.Containers {
		errs = append(errs, c.systemOf(c.spec.Containers[i].SecurityContext, path.Child("containers").Index(i))...)
	}
	return errs
}

const (
	notOnWindows     = "cannot be set for a windows pod"
	noWindowsOptions = "windows options cannot be set for a linux pod"
)

func (c *podSpecCheck) systemOf(sc *corev1.SecurityContext, path *field.Path) field.ErrorList {
	at := path.Child("securityContext")
	switch {
	case sc == nil:
		return nil
	case c.spec.OS.Name == corev1.Linux:
		return kind.Forbidden(at, noWindowsOptions, kind.Given{Name: "windowsOptions", Set: sc.WindowsOptions != nil})
	case c.spec.OS.Name != corev1.Windows:
		return nil
	}
	return kind.Forbidden(at, notOnWindows,
		kind.Given{Name: "appArmorProfile", Set: sc.AppArmorProfile != nil}, kind.Given{Name: "seLinuxOptions", Set: sc.SELinuxOptions != nil},
		kind.Given{Name: "seccompProfile", Set: sc.SeccompProfile != nil}, kind.Given{Name: "capabilities", Set: sc.Capabilities != nil},
		kind.Given{Name: "readOnlyRootFilesystem", Set: sc.ReadOnlyRootFilesystem != nil}, kind.Given{Name: "privileged", Set: sc.Privileged != nil},
		kind.Given{Name: "allowPrivilegeEscalation", Set: sc.AllowPrivilegeEscalation != nil}, kind.Given{Name: "procMount", Set: sc.ProcMount != nil},
		kind.Given{Name: "runAsUser", Set: sc.RunAsUser != nil}, kind.Given{Name: "runAsGroup", Set: sc.RunAsGroup != nil})
}

// The signals by which a container can be told to stop.
var (
	linuxSignals = strings.Fields("SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL " +
		"SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH " +
		"SIGXCPU SIGXFSZ SIGRTMIN SIGRTMIN+1 SIGRTMIN+2 SIGRTMIN+3 SIGRTMIN+4 SIGRTMIN+5 SIGRTMIN+6 SIGRTMIN+7 SIGRTMIN+8 SIGRTMIN+9 SIGRTMIN+10 " +
		"SIGRTMIN+11 SIGRTMIN+12 SIGRTMIN+13 SIGRTMIN+14 SIGRTMIN+15 SIGRTMAX-14 SIGRTMAX-13 SIGRTMAX-12 SIGRTMAX-11 SIGRTMAX-10 SIGRTMAX-9 " +
		"SIGRTMAX-8 SIGRTMAX-7 SIGRTMAX-6 SIGRTMAX-5 SIGRTMAX-4 SIGRTMAX-3 SIGRTMAX-2 SIGRTMAX-1 SIGRTMAX")
	windowsSignals = []string{"SIGKILL", "SIGTERM"}
)

// stopSignal checks the name of a signal, which means something only where the operating
// system is known.
func (c *podSpecCheck) stopSignal(signal corev1.Signal, path *field.Path) field.ErrorList {
	if c.spec.OS == nil || c.spec.OS.Name == "" {
		return field.ErrorList{field.Forbidden(path, "may not be set for containers with empty `spec.os.name`")}
	}
	known := linuxSignals
	if c.spec.OS.Name == corev1.Windows {
		known = windowsSignals
	}
	if !slices.Contains(known, string(signal)) {
		return field.ErrorList{field.NotSupported(path, string(signal), known)}
	}
	return nil
}
