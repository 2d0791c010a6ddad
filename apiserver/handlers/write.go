package handlers

import (
	"context"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/apiserver/rest"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// format chooses the form of an answer about one object, before anything is done. Columns
// and metadata are those of objects: a subresource's own kind (scale, token) has only one shape,
// and so has a review, which is no object but an answer.
func (s *served) format(r *http.Request) (format, error) {
	review := s.desc.Virtual != nil && s.desc.Virtual.Get == nil
	if s.sub != nil && s.sub.Kind != "" || review {
		return negotiate(r)
	}
	return negotiate(r, metadata, table)
}

// readObject decodes the request's body as the kind that the target takes.
func readObject(w http.ResponseWriter, r *http.Request, s *served, fieldValidation string) (api.Object, error) {
	body, kind, err := emptyBody(s)
	if err != nil {
		return nil, err
	}
	if err := decodeBody(w, r, body, kind, fieldValidation); err != nil {
		return nil, err
	}
	obj, ok := body.(api.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(kind.Kind + " has no metadata")
	}
	return obj, nil
}

func (h *Handler) create(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	var opts metav1.CreateOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	obj, err := readObject(w, r, s, opts.FieldValidation)
	if err != nil {
		return err
	}
	if s.sub != nil {
		return h.createSubresource(w, r, s, f, obj, opts)
	}
	it, err := s.store.Create(r.Context(), s.namespace, obj, opts)
	if err != nil {
		return err
	}
	h.writeItem(w, r, http.StatusCreated, f, s, it)
	return nil
}

func (h *Handler) createSubresource(w http.ResponseWriter, r *http.Request, s *served, f format, body api.Object, opts metav1.CreateOptions) error {
	result, err := s.store.CreateSubresource(r.Context(), s.namespace, s.name, s.subresource, body, opts)
	if err != nil {
		return err
	}
	if s.subresource == "binding" || s.subresource == "eviction" { // nothing to show but that it is done
		writeObject(w, r, http.StatusCreated, f, success(nil, http.StatusCreated))
		return nil
	}
	writeObject(w, r, http.StatusCreated, f, result)
	return nil
}

func (h *Handler) update(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	var opts metav1.UpdateOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	obj, err := readObject(w, r, s, opts.FieldValidation)
	if err != nil {
		return err
	}
	it, created, err := s.store.Update(r.Context(), s.namespace, s.name, s.subresource, rest.Replace(obj), rest.UpdateOptions{UpdateOptions: opts})
	if err != nil {
		return err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	h.writeItem(w, r, code, f, s, it)
	return nil
}

func (h *Handler) patch(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	var opts metav1.PatchOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	media, err := patchType(r)
	if err != nil {
		return err
	}
	data, err := readBody(w, r)
	if err != nil {
		return err
	}
	it, created, err := s.patch(r.Context(), types.PatchType(media), data, opts)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	h.writeItem(w, r, code, f, s, it)
	return nil
}

// patch changes the target; only what is applied is made if it does not exist.
func (s *served) patch(ctx context.Context, pt types.PatchType, data []byte, opts metav1.PatchOptions) (it *watchcache.Item, created bool, err error) {
	if pt == types.ApplyYAMLPatchType {
		return s.store.Apply(ctx, s.namespace, s.name, s.subresource, data, opts)
	}
	it, err = s.store.Patch(ctx, s.namespace, s.name, s.subresource, pt, data, opts)
	return it, false, err
}

// returnsDeleted are the resources whose deletion answers with the object; others answer
// with a Status.
var returnsDeleted = map[string]bool{"pods": true, "services": true, "serviceaccounts": true}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request, s *served, _ url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	opts, err := deleteOptions(w, r)
	if err != nil {
		return err
	}
	it, deleted, err := s.store.Delete(r.Context(), s.namespace, s.name, opts)
	if err != nil {
		return err
	}
	if !deleted || s.group == "" && returnsDeleted[s.resource] {
		h.writeItem(w, r, http.StatusOK, f, s, it)
		return nil
	}
	f.shape = whole
	writeObject(w, r, http.StatusOK, f, success(&metav1.StatusDetails{
		Name: s.name, Group: s.group, Kind: s.resource, UID: it.Object.GetUID(),
	}, 0))
	return nil
}

func (h *Handler) deleteCollection(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	var selected metav1.ListOptions
	if err := decodeOptions(query, &selected); err != nil {
		return err
	}
	opts, err := deleteOptions(w, r)
	if err != nil {
		return err
	}
	items, err := s.store.DeleteCollection(r.Context(), s.namespace, opts, selected)
	if err != nil {
		return err
	}
	h.writeList(w, r, f, s, &rest.ListResult{Items: items})
	return nil
}

func success(details *metav1.StatusDetails, code int32) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusSuccess, Details: details, Code: code,
	}
}
