package registry

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// immutable is what a client reads when it changes a field that stays as it was made.
const immutable = "field is immutable"

// oneOf refuses values that are not among allowed.
func oneOf[S ~string](value S, path *field.Path, allowed ...S) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, slices.Sorted(slices.Values(allowed)))}
}

// requiredOneOf is oneOf for a field that must be set.
func requiredOneOf[S ~string](value S, path *field.Path, allowed ...S) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return oneOf(value, path, allowed...)
}

// invalids makes one field error of each message, as the checks of
// k8s.io/apimachinery/pkg/util/validation return them.
func invalids(path *field.Path, value any, msgs []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range msgs {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

// notNegative refuses numbers below zero.
func notNegative[N ~int32 | ~int64](n N, path *field.Path) field.ErrorList {
	if n < 0 {
		return field.ErrorList{field.Invalid(path, n, "must be greater than or equal to 0")}
	}
	return nil
}

// validPort refuses what is not the number of a port.
func validPort(n int32, path *field.Path) field.ErrorList {
	if n < 1 || n > 65535 {
		return field.ErrorList{field.Invalid(path, n, "must be between 1 and 65535, inclusive")}
	}
	return nil
}

// given names a field and tells whether a client set it.
type given struct {
	name string
	set  bool
}

// forbidden refuses each of the fields that is set.
func forbidden(path *field.Path, why string, fields ...given) field.ErrorList {
	var errs field.ErrorList
	for _, f := range fields {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), why))
		}
	}
	return errs
}

// relativeInside refuses a path that is absolute or climbs out of where it starts.
func relativeInside(p string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(p, "/") {
		errs = append(errs, field.Invalid(path, p, "must be a relative path"))
	}
	return append(errs, noBackstep(p, path)...)
}

func noBackstep(p string, path *field.Path) field.ErrorList {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return field.ErrorList{field.Invalid(path, p, "must not contain '..'")}
	}
	return nil
}

// unserved words the warning for a field that is stored and not acted upon.
func unserved(path *field.Path, format string, args ...any) string {
	return fmt.Sprintf("%s: %s", path, fmt.Sprintf(format, args...))
}
