package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Client returns the in-process transport of a user: every call is authorized, admitted and
// validated as one over HTTP is, but nothing is encoded. What it returns is the watch
// cache's own.
func (r *Registry) Client(user auth.User) client.Transport { return transport{reg: r, user: user} }

type transport struct {
	reg  *Registry
	user auth.User
}

// open authorizes a call and returns its store, and the context with which to go on.
func (t transport) open(ctx context.Context, verb string, req client.Request) (context.Context, *Store, error) {
	s, ok := t.reg.Lookup(req.Resource.GVR())
	if !ok {
		return ctx, nil, apierrors.NewGenericServerResponse(404, verb, req.Resource.GroupResource(), req.Name, "", 0, true)
	}
	attributes := auth.Attributes{
		User: t.user, Verb: verb, Group: req.Resource.Group, Version: req.Resource.Version, Resource: req.Resource.Name,
		Subresource: req.Subresource, Namespace: req.Namespace, Name: req.Name,
	}
	if err := t.reg.authorize(ctx, attributes); err != nil {
		return ctx, nil, err
	}
	return auth.WithUser(ctx, t.user), s, nil
}

// authorize returns the refusal of what may not be done.
func (r *Registry) authorize(ctx context.Context, a auth.Attributes) error {
	allowed, reason, err := r.cfg.Authorizer.Authorize(ctx, a)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("authorizing %s %s: %w", a.Verb, a.Resource, err))
	}
	if !allowed {
		return Forbidden(a, reason)
	}
	return nil
}

// Forbidden is the answer to who may not do what a says, in Kubernetes' words.
func Forbidden(a auth.Attributes, reason string) *apierrors.StatusError {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	text := fmt.Sprintf("User %q cannot %s resource %q in API group %q", a.User.Name, a.Verb, resource, a.Group)
	if a.Namespace != "" {
		text += fmt.Sprintf(" in the namespace %q", a.Namespace)
	} else {
		text += " at the cluster scope"
	}
	if reason != "" {
		text += ": " + reason
	}
	return apierrors.NewForbidden(api.Resource{Group: a.Group, Name: a.Resource}.GroupResource(), a.Name, fmt.Errorf("%s", text))
}

// Get implements client.Transport.
func (t transport) Get(ctx context.Context, req client.Request, opts metav1.GetOptions) (api.Object, error) {
	ctx, s, err := t.open(ctx, "get", req)
	if err != nil {
		return nil, err
	}
	it, err := s.GetSubresource(ctx, req.Namespace, req.Name, req.Subresource, opts)
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// List implements client.Transport.
func (t transport) List(ctx context.Context, req client.Request, opts metav1.ListOptions) (*client.List, error) {
	ctx, s, err := t.open(ctx, "list", req)
	if err != nil {
		return nil, err
	}
	page, err := s.List(ctx, req.Namespace, opts)
	if err != nil {
		return nil, err
	}
	list := &client.List{Items: make([]api.Object, len(page.Items))}
	list.ResourceVersion, list.Continue, list.RemainingItemCount = page.ResourceVersion, page.Continue, page.Remaining
	for i, it := range page.Items {
		list.Items[i] = it.Object
	}
	return list, nil
}

// Watch implements client.Transport.
func (t transport) Watch(ctx context.Context, req client.Request, opts metav1.ListOptions) (watch.Interface, error) {
	ctx, s, err := t.open(ctx, "watch", req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := s.Watch(ctx, req.Namespace, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	stream := &stream{cancel: cancel, events: make(chan watch.Event)}
	go stream.run(ctx, w)
	return stream, nil
}

// Create implements client.Transport.
func (t transport) Create(ctx context.Context, req client.Request, obj api.Object, opts metav1.CreateOptions) (api.Object, error) {
	ctx, s, err := t.open(ctx, "create", req)
	if err != nil {
		return nil, err
	}
	if req.Subresource != "" {
		return s.CreateSubresource(ctx, req.Namespace, req.Name, req.Subresource, obj, opts)
	}
	it, err := s.Create(ctx, req.Namespace, obj, opts)
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// Update implements client.Transport.
func (t transport) Update(ctx context.Context, req client.Request, obj api.Object, opts metav1.UpdateOptions) (api.Object, error) {
	ctx, s, err := t.open(ctx, "update", req)
	if err != nil {
		return nil, err
	}
	it, _, err := s.Update(ctx, req.Namespace, req.Name, req.Subresource, Replace(obj), UpdateOptions{UpdateOptions: opts})
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// Patch implements client.Transport.
func (t transport) Patch(ctx context.Context, req client.Request, pt types.PatchType, data []byte, opts metav1.PatchOptions) (api.Object, error) {
	ctx, s, err := t.open(ctx, "patch", req)
	if err != nil {
		return nil, err
	}
	it, err := s.Patch(ctx, req.Namespace, req.Name, req.Subresource, pt, data, opts)
	if err != nil {
		return nil, err
	}
	return it.Object, nil
}

// Delete implements client.Transport.
func (t transport) Delete(ctx context.Context, req client.Request, opts metav1.DeleteOptions) error {
	ctx, s, err := t.open(ctx, "delete", req)
	if err != nil {
		return err
	}
	_, _, err = s.Delete(ctx, req.Namespace, req.Name, opts)
	return err
}

// DeleteCollection implements client.Transport.
func (t transport) DeleteCollection(ctx context.Context, req client.Request, opts metav1.DeleteOptions, list metav1.ListOptions) error {
	ctx, s, err := t.open(ctx, "deletecollection", req)
	if err != nil {
		return err
	}
	_, err = s.DeleteCollection(ctx, req.Namespace, opts, list)
	return err
}

// Raw implements client.Transport: the registry serves resources and nothing else.
func (t transport) Raw(_ context.Context, path string, _ url.Values) ([]byte, error) {
	return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{}, path, "", 0, true)
}

// Resources implements client.Transport.
func (t transport) Resources(context.Context) ([]api.Resource, error) {
	resources := make([]api.Resource, 0, len(t.reg.order))
	for _, s := range t.reg.order {
		olderVersion := s.desc.View != nil && s.desc.View.Of.GroupResource() == s.desc.GroupResource()
		if s.desc.Virtual == nil && !olderVersion { // what is only computed has no owner and no end
			resources = append(resources, s.desc.Resource)
		}
	}
	return resources, nil
}
