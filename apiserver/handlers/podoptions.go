package handlers

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// decodePodOptions fills an options struct (PodLogOptions, PodExecOptions) from the query by
// the names in its JSON tags. What does not parse is a bad request.
func decodePodOptions(query url.Values, into any) error {
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		values, given := query[name]
		if name == "" || !given || len(values) == 0 {
			continue
		}
		if err := setOption(v.Field(i), values); err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("%s: %v", name, err))
		}
	}
	return nil
}

func setOption(field reflect.Value, values []string) error {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	if t, ok := field.Addr().Interface().(*metav1.Time); ok {
		return t.UnmarshalQueryParameter(values[0])
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(values[0])
	case reflect.Bool:
		on, err := strconv.ParseBool(values[0])
		if err != nil && values[0] != "" { // "?stdin" alone says yes
			return fmt.Errorf("%q is neither true nor false", values[0])
		}
		field.SetBool(on || values[0] == "")
	case reflect.Int64:
		n, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", values[0])
		}
		field.SetInt(n)
	case reflect.Slice:
		field.Set(reflect.ValueOf(append([]string(nil), values...)))
	default:
		return fmt.Errorf("cannot be given in a query")
	}
	return nil
}
