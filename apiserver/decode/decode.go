// Package decode turns the bytes that a client sent into a typed object and says what
// was wrong with them: syntax, types, the wrong kind, fields that do not exist or stand
// twice. It neither defaults nor validates: those belong to the resource.
package decode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/apiserver/warning"
	"github.com/miniorch/miniorch/pkg/api"
)

// The media types that bodies may have.
const (
	JSON     = "application/json"
	YAML     = "application/yaml"
	Protobuf = "application/vnd.kubernetes.protobuf"
)

// maxStrictErrors bounds how many bad fields one answer lists.
const maxStrictErrors = 50

// Options say what is expected of a body.
type Options struct {
	// Kind is what the body must be. A body that names neither apiVersion nor kind is
	// taken for it; one that names another is refused.
	Kind schema.GroupVersionKind
	// MediaType is JSON, YAML or Protobuf; empty means JSON.
	MediaType string
	// Validation is what to do about unknown and duplicate fields: metav1.FieldValidationStrict
	// refuses, Warn (and empty) warns through the context, Ignore says nothing.
	Validation string
	// Found are complaints about what the body was made from, a patch for instance. They are
	// told together with, and before, those about the body.
	Found []string
}

// Into decodes data into obj, which must be empty, and leaves obj's apiVersion and
// kind set. Errors are *apierrors.StatusError.
func Into(ctx context.Context, data []byte, obj runtime.Object, opts Options) error {
	strict, err := unmarshal(data, obj, opts)
	if err != nil {
		var status *apierrors.StatusError
		if errors.As(err, &status) {
			return status
		}
		return badBody(opts.Kind, err)
	}
	if err := checkKind(obj, opts.Kind); err != nil {
		return err
	}
	return report(ctx, strict, opts)
}

// unmarshal fills obj and returns the complaints that fieldValidation is about.
func unmarshal(data []byte, obj runtime.Object, opts Options) (strict []string, err error) {
	switch opts.MediaType {
	case JSON, "":
		return unmarshalJSON(data, obj)
	case YAML:
		return unmarshalYAML(data, obj)
	case Protobuf:
		return nil, unmarshalProtobuf(data, obj, opts.Kind)
	}
	return nil, UnsupportedMediaType(opts.MediaType, JSON, YAML, Protobuf)
}

func unmarshalJSON(data []byte, obj runtime.Object) ([]string, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the body is empty")
	}
	if err := checkQuantities(data, obj); err != nil {
		return nil, err
	}
	strict, err := kjson.UnmarshalStrict(data, obj)
	if err != nil {
		return nil, err
	}
	return texts(strict), nil
}

// unmarshalYAML reads one YAML document. Duplicate keys are found by the strict
// conversion only; the lenient one keeps the last, as JSON does.
func unmarshalYAML(data []byte, obj runtime.Object) ([]string, error) {
	var duplicate []string
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		lenient, lenientErr := yaml.YAMLToJSON(data)
		if lenientErr != nil {
			return nil, lenientErr
		}
		asJSON, duplicate = lenient, []string{err.Error()}
	}
	if bytes.Equal(bytes.TrimSpace(asJSON), []byte("null")) {
		return nil, errors.New("the body is empty")
	}
	strict, err := unmarshalJSON(asJSON, obj)
	return append(duplicate, strict...), err
}

func unmarshalProtobuf(data []byte, obj runtime.Object, kind schema.GroupVersionKind) error {
	if err := checkProtobufQuantities(data, obj); err != nil {
		return err
	}
	_, gvk, err := protobuf.NewSerializer(api.Scheme, api.Scheme).Decode(data, &kind, obj)
	if err != nil {
		return err
	}
	if *gvk != kind {
		return wrongKind(*gvk, kind)
	}
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return nil
}

// checkKind compares what the body says it is with what is expected, and fills in what
// it does not say.
func checkKind(obj runtime.Object, want schema.GroupVersionKind) error {
	got := obj.GetObjectKind().GroupVersionKind()
	if got.Kind == "" && got.GroupVersion().Empty() {
		obj.GetObjectKind().SetGroupVersionKind(want)
		return nil
	}
	if got.Kind == "" {
		//lint:ignore ST1005 these are Kubernetes' words.
		return badBody(want, errors.New("Object 'Kind' is missing"))
	}
	if got.GroupVersion().Empty() {
		//lint:ignore ST1005 these are Kubernetes' words.
		return badBody(want, errors.New("Object 'apiVersion' is missing"))
	}
	if got != want {
		return wrongKind(got, want)
	}
	return nil
}

func wrongKind(got, want schema.GroupVersionKind) error {
	if got.Kind == want.Kind {
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the API version in the data (%s) does not match the expected API version (%s)", got.GroupVersion(), want.GroupVersion()))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: expected %s",
		got.Kind, got.Version, want.Kind, want))
}

func report(ctx context.Context, strict []string, opts Options) error {
	if strict = slices.Concat(opts.Found, strict); len(strict) == 0 {
		return nil
	}
	if len(strict) > maxStrictErrors {
		strict = append(strict[:maxStrictErrors:maxStrictErrors], fmt.Sprintf("and %d more", len(strict)-maxStrictErrors))
	}
	switch opts.Validation {
	case metav1.FieldValidationStrict:
		return badBody(opts.Kind, errors.New("strict decoding error: "+strings.Join(strict, ", ")))
	case metav1.FieldValidationWarn, "":
		for _, text := range strict {
			warning.Add(ctx, text)
		}
	}
	return nil
}

// Tree decodes a JSON object without a type, a patch for instance; like is what its
// fields mean. twice lists the fields that stand in it more than once.
func Tree(data []byte, like runtime.Object) (tree map[string]any, twice []string, err error) {
	if err := checkQuantities(data, like); err != nil {
		return nil, nil, err
	}
	strict, err := kjson.UnmarshalStrict(data, &tree)
	if err == nil && tree == nil {
		err = errors.New("it must be an object")
	}
	return tree, texts(strict), err
}

// YAMLTree is Tree for YAML, of which JSON is a part. twice says what stands in it more than
// once, by line.
func YAMLTree(data []byte, like runtime.Object) (tree map[string]any, twice, err error) {
	asJSON, twice := yaml.YAMLToJSONStrict(data)
	if twice != nil {
		if asJSON, err = yaml.YAMLToJSON(data); err != nil {
			return nil, nil, err
		}
	}
	tree, _, err = Tree(asJSON, like)
	return tree, twice, err
}

// FromTree is Into for an object that is decoded already, but not typed. obj may share
// with tree from then on.
func FromTree(ctx context.Context, tree map[string]any, obj runtime.Object, opts Options) error {
	var strict []string
	if untyped, ok := obj.(runtime.Unstructured); ok {
		untyped.SetUnstructuredContent(tree)
	} else if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(tree, obj, true); err != nil {
		unknown, ok := runtime.AsStrictDecodingError(err)
		if !ok {
			return badBody(opts.Kind, err)
		}
		strict = texts(unknown.Errors())
	}
	if err := checkKind(obj, opts.Kind); err != nil {
		return err
	}
	return report(ctx, strict, opts)
}

func badBody(kind schema.GroupVersionKind, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %s",
		kind.Kind, kind.Version, kind.Kind, err))
}

// UnsupportedMediaType is the 415 answer that lists what would have been accepted.
func UnsupportedMediaType(got string, accepted ...string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    415,
		Reason:  metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format (%s) - accepted media types include: %s", got, strings.Join(accepted, ", ")),
	}}
}

func texts(errs []error) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}
	return out
}
