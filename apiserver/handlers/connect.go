package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// connecting are the subresources behind which something other than the store answers.
var connecting = map[string][]string{
	"pods":     {"log", "exec", "attach", "portforward", "proxy"},
	"services": {"proxy"},
	"nodes":    {"proxy"},
}

// isConnect reports whether the target is one that is passed on.
func isConnect(t target) bool {
	return t.group == "" && t.version == "v1" && t.name != "" && slices.Contains(connecting[t.resource], t.subresource)
}

// connectVerbs is what the authorizer is asked for. WebSocket knows only GET, but what acts
// inside a pod takes more than the right to read: a GET needs create as well. So does an
// upgrade of a node's connection, with which its agent would run commands.
func connectVerbs(t target, r *http.Request, verb string) []string {
	if verb == "" {
		return []string{strings.ToLower(r.Method)} // OPTIONS, behind a proxy
	}
	acts := t.subresource != "log" && t.subresource != "proxy" || t.resource == "nodes" && r.Header.Get("Upgrade") != ""
	if verb == "get" && acts {
		return []string{verb, "create"}
	}
	return []string{verb}
}

func (h *Handler) connect(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	unhurried(w)
	if s.subresource == "proxy" {
		return h.proxy(w, r, s)
	}
	if r.Method != http.MethodGet && (r.Method != http.MethodPost || s.subresource == "log") {
		return methodNotAllowed(s.target, r.Method)
	}
	pod, err := h.pod(r.Context(), s, s.name)
	if err != nil {
		return err
	}
	switch s.subresource {
	case "exec":
		return h.podExec(w, r, pod, query)
	case "attach":
		return h.podAttach(w, r, pod, query)
	case "portforward":
		return h.podPortForward(w, r, pod)
	}
	return h.podLog(w, r, pod, query)
}

// pod reads a pod of the target's namespace.
func (h *Handler) pod(ctx context.Context, s *served, name string) (*corev1.Pod, error) {
	obj, err := h.registry.Get(ctx, corev1.SchemeGroupVersion.WithResource("pods"), s.namespace, name)
	if err != nil {
		return nil, err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("a %T instead of a pod", obj))
	}
	return pod, nil
}

func (h *Handler) podLog(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, query url.Values) error {
	var opts corev1.PodLogOptions
	if err := decodePodOptions(query, &opts); err != nil {
		return err
	}
	if errs := checkLogOptions(&opts); len(errs) > 0 {
		return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), pod.Name, errs)
	}
	container, err := chooseContainer(pod, opts.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" { // it has said nothing yet
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	opts.Container = ""
	return h.toKubelet(w, r, pod, "containerLogs", container, &opts)
}

func checkLogOptions(o *corev1.PodLogOptions) (errs field.ErrorList) {
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	if o.SinceSeconds != nil && o.SinceTime != nil {
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	}
	if o.SinceSeconds != nil && *o.SinceSeconds < 1 {
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.InsecureSkipTLSVerifyBackend {
		errs = append(errs, field.Forbidden(field.NewPath("insecureSkipTLSVerifyBackend"), "every node has a certificate of the cluster's CA; it is always verified"))
	}
	if o.Stream != nil {
		streams := []string{corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr}
		if !slices.Contains(streams, *o.Stream) {
			errs = append(errs, field.NotSupported(field.NewPath("stream"), *o.Stream, streams))
		}
		if *o.Stream != corev1.LogStreamAll && o.TailLines != nil {
			errs = append(errs, field.Forbidden(field.NewPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
		}
	}
	return errs
}

func (h *Handler) podExec(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, query url.Values) error {
	var opts corev1.PodExecOptions
	if err := decodePodOptions(query, &opts); err != nil {
		return err
	}
	if len(opts.Command) == 0 {
		return apierrors.NewBadRequest("you must specify at least 1 command for the container")
	}
	if err := checkStreams(r, opts.Stdin, opts.Stdout, opts.Stderr, opts.TTY); err != nil {
		return err
	}
	container, err := chooseRunning(pod, opts.Container, "exec into")
	if err != nil {
		return err
	}
	opts.Container = ""
	return h.toKubelet(w, r, pod, "exec", container, &opts)
}

func (h *Handler) podAttach(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, query url.Values) error {
	var opts corev1.PodAttachOptions
	if err := decodePodOptions(query, &opts); err != nil {
		return err
	}
	if err := checkStreams(r, opts.Stdin, opts.Stdout, opts.Stderr, opts.TTY); err != nil {
		return err
	}
	container, err := chooseRunning(pod, opts.Container, "attach to")
	if err != nil {
		return err
	}
	opts.Container = ""
	return h.toKubelet(w, r, pod, "attach", container, &opts)
}

func (h *Handler) podPortForward(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	switch {
	case r.Header.Get("Upgrade") == "":
		return apierrors.NewBadRequest("Upgrade request required")
	case pod.Spec.NodeName == "":
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	return h.toKubelet(w, r, pod, "portForward", "", &corev1.PodPortForwardOptions{})
}

func checkStreams(r *http.Request, stdin, stdout, stderr, tty bool) error {
	switch {
	case !stdin && !stdout && !stderr:
		return apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	case tty && stderr:
		return apierrors.NewBadRequest("tty and stderr cannot both be true")
	case r.Header.Get("Upgrade") == "":
		return apierrors.NewBadRequest("Upgrade request required")
	}
	return nil
}

// chooseRunning chooses a container of a pod that may be running on some node.
func chooseRunning(pod *corev1.Pod, name, purpose string) (string, error) {
	if phase := pod.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		return "", apierrors.NewBadRequest(fmt.Sprintf("cannot %s a container in a completed pod; current phase is %s", purpose, phase))
	}
	container, err := chooseContainer(pod, name)
	if err != nil {
		return "", err
	}
	if pod.Spec.NodeName == "" {
		return "", apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	return container, nil
}

// chooseContainer returns the container that is meant: the one that is named, or the only
// one there is.
func chooseContainer(pod *corev1.Pod, name string) (string, error) {
	apps := names(pod.Spec.Containers)
	inits := names(pod.Spec.InitContainers)
	var ephemeral []string
	for _, c := range pod.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, c.Name)
	}
	if name != "" {
		if slices.Contains(slices.Concat(apps, inits, ephemeral), name) {
			return name, nil
		}
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	}
	if len(apps) == 1 {
		return apps[0], nil
	}
	text := fmt.Sprintf("a container name must be specified for pod %s, choose one of: %v", pod.Name, apps)
	if len(inits) > 0 {
		text += fmt.Sprintf(" or one of the init containers: %v", inits)
	}
	if len(ephemeral) > 0 {
		text += fmt.Sprintf(" or one of the ephemeral containers: %v", ephemeral)
	}
	return "", apierrors.NewBadRequest(text)
}

func names(containers []corev1.Container) []string {
	var out []string
	for _, c := range containers {
		out = append(out, c.Name)
	}
	return out
}

// node reads a node as it is stored now: an agent that has just said where it is can be
// called at once.
func (h *Handler) node(ctx context.Context, name string) (*corev1.Node, error) {
	store, ok := h.registry.Lookup(corev1.SchemeGroupVersion.WithResource("nodes"))
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource("nodes"), name)
	}
	item, err := store.Get(ctx, "", name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return item.Object.(*corev1.Node), nil
}

// nodeAddress finds the pod's node.
func (h *Handler) nodeAddress(ctx context.Context, pod *corev1.Pod) (NodeAddress, error) {
	node, err := h.node(ctx, pod.Spec.NodeName)
	if err != nil {
		return NodeAddress{}, err
	}
	address, err := AddressOf(node)
	if err != nil {
		return address, failure(http.StatusBadGateway, metav1.StatusReasonInternalError, err.Error())
	}
	return address, nil
}
