package handlers

import (
	"net/http"
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

func (h *Handler) get(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := s.format(r)
	if err != nil {
		return err
	}
	var opts metav1.GetOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	var it *watchcache.Item
	if s.sub != nil {
		it, err = s.store.GetSubresource(r.Context(), s.namespace, s.name, s.subresource, opts)
	} else {
		it, err = s.store.Get(r.Context(), s.namespace, s.name, opts)
	}
	if err != nil {
		return err
	}
	h.writeItem(w, r, http.StatusOK, f, s, it)
	return nil
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request, s *served, query url.Values) error {
	f, err := negotiate(r, metadata, table)
	if err != nil {
		return err
	}
	var opts metav1.ListOptions
	if err := decodeOptions(query, &opts); err != nil {
		return err
	}
	list, err := s.store.List(r.Context(), s.namespace, opts)
	if err != nil {
		return err
	}
	h.writeList(w, r, f, s, list)
	return nil
}
