package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
)

// decodeOptions reads an option type from the query. What does not parse is a bad
// request, never a default.
func decodeOptions(query url.Values, into runtime.Object) error {
	if err := api.ParameterCodec.DecodeParameters(query, schema.GroupVersion{Version: "v1"}, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return checkFieldValidation(query)
}

// checkFieldValidation refuses directives that do not exist.
func checkFieldValidation(query url.Values) error {
	switch v := query.Get("fieldValidation"); v {
	case "", metav1.FieldValidationIgnore, metav1.FieldValidationStrict, metav1.FieldValidationWarn:
		return nil
	default:
		return apierrors.NewBadRequest("invalid fieldValidation " + strconv.Quote(v) + ": must be Ignore, Warn or Strict")
	}
}

// parseQuery reads the query once; net/http would drop what it cannot parse.
func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apierrors.NewBadRequest("malformed query: " + err.Error())
	}
	return query, nil
}

// wantsWatch reports whether the query asks for a watch: by any word but no, as all yes-or-no
// parameters of the API are read.
func wantsWatch(query url.Values) bool {
	values := query["watch"]
	return len(values) > 0 && values[0] != "0" && !strings.EqualFold(values[0], "false")
}
