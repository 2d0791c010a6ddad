package scheduler

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/scheduler/config"
	"github.com/miniorch/miniorch/scheduler/framework"
)

// extender is an HTTP service that has a say in where pods go: it may refuse nodes that the
// plugins let pass, score them, and bind pods itself. It is asked with no lock held.
type extender struct {
	config.Extender
	client *http.Client
}

func newExtender(c config.Extender) (*extender, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	if c.EnableHTTPS || c.TLSConfig != nil {
		t, err := tlsOf(c.TLSConfig)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = t
	}
	return &extender{c, &http.Client{
		Transport: transport, Timeout: c.Timeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// interested reports whether the pod is the extender's business.
func (e *extender) interested(pod *corev1.Pod) bool {
	if len(e.ManagedResources) == 0 {
		return true
	}
	asks := api.PodRequests(pod)
	return slices.ContainsFunc(e.ManagedResources, func(r config.ManagedResource) bool {
		_, ok := asks[corev1.ResourceName(r.Name)]
		return ok
	})
}

// argsFor tells the extender of the nodes that are left: by name if it keeps track of nodes
// itself, else as they are.
func (e *extender) argsFor(pod *corev1.Pod, nodes []*framework.NodeInfo) extenderArgs {
	args := extenderArgs{Pod: pod}
	if e.NodeCacheCapable {
		names := make([]string, 0, len(nodes))
		for _, n := range nodes {
			names = append(names, n.Name)
		}
		args.NodeNames = &names
		return args
	}
	args.Nodes = &corev1.NodeList{}
	for _, n := range nodes {
		args.Nodes.Items = append(args.Nodes.Items, *n.Node)
	}
	return args
}

// filter returns why the extender refuses nodes, by name; those that it does not mention pass.
func (e *extender) filter(ctx context.Context, pod *corev1.Pod, nodes []*framework.NodeInfo) (map[string]*framework.Status, error) {
	var answer extenderFilterResult
	if err := e.call(ctx, e.FilterVerb, e.argsFor(pod, nodes), &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("extender %s: %s", e.URLPrefix, answer.Error)
	}
	passed := make(map[string]bool)
	switch {
	case e.NodeCacheCapable && answer.NodeNames != nil:
		for _, n := range *answer.NodeNames {
			passed[n] = true
		}
	case answer.Nodes != nil:
		for i := range answer.Nodes.Items {
			passed[answer.Nodes.Items[i].Name] = true
		}
	}
	refused := make(map[string]*framework.Status)
	for _, n := range nodes {
		if passed[n.Name] {
			continue
		}
		if why, ok := answer.FailedAndUnresolvableNodes[n.Name]; ok {
			refused[n.Name] = framework.RefuseForGood(why).By(e.URLPrefix)
			continue
		}
		why := answer.FailedNodes[n.Name]
		if why == "" {
			why = "node(s) were refused by an extender"
		}
		refused[n.Name] = framework.Refuse(why).By(e.URLPrefix)
	}
	return refused, nil
}

// prioritize returns the extender's scores, from 0 to 10, by name of the node.
func (e *extender) prioritize(ctx context.Context, pod *corev1.Pod, nodes []*framework.NodeInfo) (map[string]int64, error) {
	var answer []hostPriority
	if err := e.call(ctx, e.PrioritizeVerb, e.argsFor(pod, nodes), &answer); err != nil {
		return nil, err
	}
	scores := make(map[string]int64, len(answer))
	for _, p := range answer {
		scores[p.Host] = p.Score
	}
	return scores, nil
}

// bind lets the extender bind the pod.
func (e *extender) bind(ctx context.Context, pod *corev1.Pod, node string) error {
	var answer extenderBindingResult
	err := e.call(ctx, e.BindVerb, extenderBindingArgs{pod.Name, pod.Namespace, string(pod.UID), node}, &answer)
	if err == nil && answer.Error != "" {
		err = fmt.Errorf("extender %s: %s", e.URLPrefix, answer.Error)
	}
	return err
}
