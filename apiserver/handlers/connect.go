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

// isConnect reports whether the target is one that is passed on to a node.
func isConnect(t target) bool {
	return t.group == "" && t.version == "v1" && t.resource == "pods" && t.name != "" &&
		slices.Contains([]string{"log", "exec", "attach", "portforward", "proxy"}, t.subresource)
}

// connectVerb is what the authorizer is asked for. Reading a log is reading; all else acts
// inside the pod, whatever the HTTP method is (WebSocket knows only GET).
func connectVerb(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/log") {
		return "get"
	}
	return "create"
}

func (h *Handler) connect(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	obj, err := s.store.Get(r.Context(), s.namespace, s.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pod, ok := obj.Object.(*corev1.Pod)
	if !ok {
		return apierrors.NewInternalError(fmt.Errorf("a %T instead of a pod", obj.Object))
	}
	switch {
	case s.subresource == "log" && r.Method == http.MethodGet:
		return h.podLog(w, r, pod, query)
	case s.subresource == "exec":
		return h.podExec(w, r, pod, query)
	}
	return methodNotAllowed(s.target, r.Method)
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
	switch {
	case len(opts.Command) == 0:
		return apierrors.NewBadRequest("you must specify at least 1 command for the container")
	case !opts.Stdin && !opts.Stdout && !opts.Stderr:
		return apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	case opts.TTY && opts.Stderr:
		return apierrors.NewBadRequest("tty and stderr cannot both be true")
	case r.Header.Get("Upgrade") == "":
		return apierrors.NewBadRequest("Upgrade request required")
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot exec into a container in a completed pod; current phase is %s", pod.Status.Phase))
	}
	container, err := chooseContainer(pod, opts.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	opts.Container = ""
	return h.toKubelet(w, r, pod, "exec", container, &opts)
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

// nodeAddress finds the pod's node.
func (h *Handler) nodeAddress(ctx context.Context, pod *corev1.Pod) (NodeAddress, error) {
	obj, err := h.registry.Get(ctx, corev1.SchemeGroupVersion.WithResource("nodes"), "", pod.Spec.NodeName)
	if err != nil {
		return NodeAddress{}, err
	}
	address, err := addressOf(obj.(*corev1.Node))
	if err != nil {
		return address, failure(http.StatusBadGateway, metav1.StatusReasonInternalError, err.Error())
	}
	return address, nil
}
