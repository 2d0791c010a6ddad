package scheduler

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/scheduler/framework"
)

// profiles are the frameworks by the name that pods ask for.
type profiles struct {
	list   []*framework.Framework
	byName map[string]*framework.Framework
}

func newProfiles(all []framework.Profile) (profiles, error) {
	p := profiles{byName: make(map[string]*framework.Framework)}
	for _, one := range all {
		fw, err := framework.New(one)
		if err != nil {
			return p, err
		}
		if p.byName[fw.SchedulerName()] != nil {
			return p, fmt.Errorf("two profiles are called %q", fw.SchedulerName())
		}
		if len(p.list) > 0 && fw.SortName() != p.first().SortName() {
			return p, fmt.Errorf("profiles %q and %q sort the queue in different ways: it is one queue", p.first().SchedulerName(), fw.SchedulerName())
		}
		p.list = append(p.list, fw)
		p.byName[fw.SchedulerName()] = fw
	}
	return p, nil
}

func (p profiles) first() *framework.Framework { return p.list[0] }

// of returns the profile that the pod asks for, nil if it is not one of ours.
func (p profiles) of(pod *corev1.Pod) *framework.Framework { return p.byName[pod.Spec.SchedulerName] }

// hint reports whether a plugin of that name says which events help pods that it refused.
func (p profiles) hint(plugin string) bool {
	return slices.ContainsFunc(p.list, func(fw *framework.Framework) bool { return fw.Hints(plugin) })
}
