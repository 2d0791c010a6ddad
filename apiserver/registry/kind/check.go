package kind

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// Immutable is what a client reads when it changes a field that stays as it was made.
const Immutable = "field is immutable"

// OneOf refuses values that are not among allowed.
func OneOf[S ~string](value S, path *field.Path, allowed ...S) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, slices.Sorted(slices.Values(allowed)))}
}

// RequiredOneOf is oneOf for a field that must be set.
func RequiredOneOf[S ~string](value S, path *field.Path, allowed ...S) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return OneOf(value, path, allowed...)
}

// Invalids makes one field error of each message, as the checks of
// k8s.io/apimachinery/pkg/util/validation return them.
func Invalids(path *field.Path, value any, msgs []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range msgs {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

// NotNegative refuses numbers below zero.
func NotNegative[N ~int32 | ~int64](n N, path *field.Path) field.ErrorList {
	if n < 0 {
		return field.ErrorList{field.Invalid(path, n, "must be greater than or equal to 0")}
	}
	return nil
}

// ValidPort refuses what is not the number of a port.
func ValidPort(n int32, path *field.Path) field.ErrorList {
	if n < 1 || n > 65535 {
		return field.ErrorList{field.Invalid(path, n, "must be between 1 and 65535, inclusive")}
	}
	return nil
}

// Given names a field and tells whether a client set it.
type Given struct {
	Name string
	Set  bool
}

// Forbidden refuses each of the fields that is set.
func Forbidden(path *field.Path, why string, fields ...Given) field.ErrorList {
	var errs field.ErrorList
	for _, f := range fields {
		if f.Set {
			errs = append(errs, field.Forbidden(path.Child(f.Name), why))
		}
	}
	return errs
}

// RelativeInside refuses a path that is absolute or climbs out of where it starts.
func RelativeInside(p string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(p, "/") {
		errs = append(errs, field.Invalid(path, p, "must be a relative path"))
	}
	return append(errs, NoBackstep(p, path)...)
}

// NoBackstep refuses a path that climbs.
func NoBackstep(p string, path *field.Path) field.ErrorList {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return field.ErrorList{field.Invalid(path, p, "must not contain '..'")}
	}
	return nil
}

// Unserved words the warning for a field that is stored and not acted upon.
func Unserved(path *field.Path, format string, args ...any) string {
	return fmt.Sprintf("%s: %s", path, fmt.Sprintf(format, args...))
}

// SortedNames lists resources in an order that does not change from one error message to the next.
func SortedNames(l corev1.ResourceList) []corev1.ResourceName { return slices.Sorted(maps.Keys(l)) }

// ValidatePortOrName checks a port given by number or by a container port's name.
func ValidatePortOrName(p intstr.IntOrString, path *field.Path) field.ErrorList {
	if p.Type == intstr.String {
		return Invalids(path, p.StrVal, utilvalidation.IsValidPortName(p.StrVal))
	}
	return ValidPort(p.IntVal, path)
}

// SetDefault points an unset field at its default.
func SetDefault[T any](p **T, value T) {
	if *p == nil {
		*p = ptr.To(value)
	}
}

// PathSegment takes every name that can be one part of a URL's path, such as those of roles, which
// have colons in them. It is a ValidateName.
func PathSegment(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}
