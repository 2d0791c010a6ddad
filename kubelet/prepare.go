package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/env"
	"github.com/miniorch/miniorch/kubelet/lifecycle"
	"github.com/miniorch/miniorch/kubelet/sandbox"
)

func (k *Kubelet) podDir(uid types.UID) string {
	return filepath.Join(k.cfg.RootDir, "pods", string(uid))
}

// logDir is where the logs of a pod are, by the convention that log collectors know.
func (k *Kubelet) logDir(pod *corev1.Pod) string {
	return filepath.Join(k.cfg.LogDir, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// prepare makes what a pod needs before its first container: cgroup, network, volumes and
// the files of /etc. All of it is idempotent: a restarted agent finds what is there.
func (w *worker) prepare(ctx context.Context, pod *corev1.Pod) (outcome, error) {
	around := surroundings{dir: w.k.podDir(pod.UID), logs: w.k.logDir(pod), memory: w.k.memory(), hostname: env.UTSName(pod, w.k.cfg.ClusterDomain),
		size: lifecycle.PodSize(pod)}
	if err := w.k.checkRuntime(ctx, pod); err != nil {
		w.event(pod, corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
		return nil, err
	}
	var parts errgroup.Group
	parts.Go(func() (err error) {
		if around.cgroup, err = w.k.parts.Cgroups.EnsurePod(pod); err != nil {
			err = fmt.Errorf("making the pod's cgroup: %w", err)
			w.event(pod, corev1.EventTypeWarning, "FailedCreatePodContainer", "%v", err)
		}
		return err
	})
	parts.Go(func() (err error) {
		if around.sandbox, err = w.k.parts.Network.Setup(ctx, sandboxSpec(pod, w.k.cfg.ClusterDomain)); err != nil && ctx.Err() == nil {
			w.event(pod, corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
		}
		return err
	})
	parts.Go(func() (err error) {
		if around.volumes, err = w.k.parts.Volumes.Prepare(ctx, pod); err == nil {
			err = w.mountImages(ctx, pod, around.volumes)
		}
		if err != nil && ctx.Err() == nil {
			w.event(pod, corev1.EventTypeWarning, "FailedMount", "%v", err)
		}
		return err
	})
	if err := parts.Wait(); err != nil {
		return nil, err
	}
	if !w.k.cfg.NoFiles {
		if err := w.writeEtc(pod, around); err != nil {
			w.event(pod, corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
			return nil, err
		}
	}
	return func() { w.around, w.prepared, w.held, w.sandboxFailure = around, true, true, nil }, nil
}

func sandboxSpec(pod *corev1.Pod, domain string) sandbox.Spec {
	s := sandbox.Spec{
		UID: pod.UID, Namespace: pod.Namespace, Name: pod.Name, Hostname: env.UTSName(pod, domain),
		HostNetwork: pod.Spec.HostNetwork, HostIPC: pod.Spec.HostIPC,
	}
	if sc := pod.Spec.SecurityContext; sc != nil {
		for _, ctl := range sc.Sysctls {
			if s.Sysctls == nil {
				s.Sysctls = map[string]string{}
			}
			s.Sysctls[lifecycle.SysctlName(ctl.Name)] = ctl.Value
		}
	}
	if pod.Spec.HostNetwork {
		return s // its ports are the host's own
	}
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range cs {
			for _, p := range cs[i].Ports {
				if p.HostPort != 0 {
					s.HostPorts = append(s.HostPorts, sandbox.HostPort{
						Protocol: p.Protocol, HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort})
				}
			}
		}
	}
	return s
}

// writeEtc writes the files of /etc that the pod's containers share. They are rewritten in
// place, because they are mounted as files.
func (w *worker) writeEtc(pod *corev1.Pod, around surroundings) error {
	if err := os.MkdirAll(filepath.Join(around.dir, "etc"), 0o755); err != nil {
		return fmt.Errorf("making the pod's directory: %w", err)
	}
	resolv, err := os.ReadFile(w.k.cfg.HostResolv)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("reading the host's resolv.conf: %w", err)
	}
	hosts := ""
	if pod.Spec.HostNetwork {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = string(b)
		}
	}
	name := env.UTSName(pod, w.k.cfg.ClusterDomain)
	if pod.Spec.HostNetwork {
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("reading the host's name: %w", err)
		}
	}
	dns := env.DNS{Servers: w.k.cfg.ClusterDNS, Domain: w.k.cfg.ClusterDomain, Host: string(resolv)}
	for file, text := range map[string]string{
		"hosts":       env.Hosts(pod, around.sandbox.IPs, w.k.cfg.ClusterDomain, hosts),
		"hostname":    strings.TrimSpace(name) + "\n",
		"resolv.conf": env.ResolvConf(pod, dns),
	} {
		if err := os.WriteFile(filepath.Join(around.dir, "etc", file), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the pod's /etc/%s: %w", file, err)
		}
	}
	return nil
}
