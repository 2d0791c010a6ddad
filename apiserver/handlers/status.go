package handlers

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var statusKind = schema.GroupVersionKind{Version: "v1", Kind: "Status"}

// statusOf puts an error into the form that clients know.
func statusOf(err error) *metav1.Status {
	var status apierrors.APIStatus
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &status):
		s := status.Status()
		s.Status = metav1.StatusFailure
		if s.Code < 400 || s.Code > 599 {
			s.Code = http.StatusInternalServerError
		}
		s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return &s
	case errors.As(err, &tooLarge):
		return statusOf(apierrors.NewRequestEntityTooLargeError("limit is " + strconv.FormatInt(tooLarge.Limit, 10)))
	case errors.Is(err, context.DeadlineExceeded):
		return statusOf(apierrors.NewTimeoutError("the request took too long", 0))
	case errors.Is(err, context.Canceled):
		return statusOf(apierrors.NewTimeoutError("the request was cancelled", 0))
	}
	return statusOf(apierrors.NewInternalError(err))
}

// writeError answers with an error. Answers to who accepts nothing that we have are JSON.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	f, negotiateErr := negotiate(r)
	if negotiateErr != nil {
		f = format{media: mediaJSON}
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	writeObject(w, r, int(status.Code), f, status)
}

// failure makes a Status error that apimachinery has no constructor for.
func failure(code int, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}}
}

func methodNotAllowed(t target, verb string) error {
	return apierrors.NewMethodNotSupported(schema.GroupResource{Group: t.group, Resource: t.resource}, verb)
}

// pathNotFound is the answer to a URL at which nothing is. It has details, if empty ones:
// clients look there to tell it from an object that does not exist, and kubectl does
// so without looking whether there are any.
func pathNotFound() error {
	err := failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
	err.ErrStatus.Details = &metav1.StatusDetails{}
	return err
}

// NotFound answers that there is nothing at the request's path.
func NotFound(w http.ResponseWriter, r *http.Request) { writeError(w, r, pathNotFound()) }

// MethodNotAllowed answers that the path cannot be used with the request's method.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	writeError(w, r, failure(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
		"the server does not allow this method on the requested resource"))
}
