package core

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func limitRanges() resource.Descriptor {
	type limits = *corev1.LimitRange
	return kind.Describe(kind.Of[limits]{
		Singular:            "limitrange",
		ShortNames:          []string{"limits"},
		New:                 func() limits { return &corev1.LimitRange{} },
		NewList:             func() runtime.Object { return &corev1.LimitRangeList{} },
		Defaults:            defaultLimitRange,
		Validate:            validateLimitRange,
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns: []kind.Column[limits]{
			kind.NameColumn[limits](),
			{Name: "Created At", Type: "date", Description: "When it was made.", Value: func(l limits, _ time.Time) any {
				return l.CreationTimestamp.UTC().Format(time.RFC3339)
			}},
		},
	})
}

// defaultLimitRange completes what containers get: by default their limit is the maximum, and
// they ask for their limit, else for the minimum.
func defaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		kind.TidyQuantities(item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio)
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		complete(&item.Default, item.Max)
		complete(&item.DefaultRequest, item.Default)
		complete(&item.DefaultRequest, item.Min)
	}
}

// complete adds what a list lacks of another.
func complete(into *corev1.ResourceList, from corev1.ResourceList) {
	if *into == nil {
		*into = corev1.ResourceList{}
	}
	for name, q := range from {
		if _, has := (*into)[name]; !has {
			(*into)[name] = q.DeepCopy()
		}
	}
}

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		item, at := &l.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		errs = append(errs, validateLimitType(item.Type, at.Child("type"))...)
		if seen[item.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), item.Type))
		}
		seen[item.Type] = true
		errs = append(errs, validateLimitItem(item, at)...)
	}
	return errs
}

func validateLimitType(t corev1.LimitType, path *field.Path) field.ErrorList {
	if msgs := utilvalidation.IsQualifiedName(string(t)); len(msgs) > 0 {
		return kind.Invalids(path, t, msgs)
	}
	if !strings.Contains(string(t), "/") && t != corev1.LimitTypePod && t != corev1.LimitTypeContainer && t != corev1.LimitTypePersistentVolumeClaim {
		return field.ErrorList{field.Invalid(path, t, "must be a standard limit type or fully qualified")}
	}
	return nil
}

// validateLimitItem checks that the bounds on each resource leave something between them.
func validateLimitItem(item *corev1.LimitRangeItem, path *field.Path) field.ErrorList {
	names := corev1.ResourceList{}
	var errs field.ErrorList
	for _, list := range []struct {
		field string
		of    corev1.ResourceList
	}{{"max", item.Max}, {"min", item.Min}, {"default", item.Default}, {"defaultRequest", item.DefaultRequest}, {"maxLimitRequestRatio", item.MaxLimitRequestRatio}} {
		if strings.HasPrefix(list.field, "default") && item.Type == corev1.LimitTypePod {
			if len(list.of) > 0 {
				errs = append(errs, field.Forbidden(path.Child(list.field), "may not be specified when `type` is 'Pod'"))
			}
			continue
		}
		for _, name := range kind.SortedNames(list.of) {
			names[name] = list.of[name]
			errs = append(errs, validateLimitResource(name, path.Child(list.field).Key(string(name)))...)
		}
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, min := item.Min[corev1.ResourceStorage]
		_, max := item.Max[corev1.ResourceStorage]
		if !min && !max {
			errs = append(errs, field.Required(path, "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	for _, name := range kind.SortedNames(names) {
		errs = append(errs, validateBounds(item, name, path)...)
	}
	return errs
}

func validateLimitResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if name == corev1.ResourceStorage {
		return nil
	}
	return podspec.ValidateResourceName(name, path)
}

func validateBounds(item *corev1.LimitRangeItem, name corev1.ResourceName, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	value := func(list corev1.ResourceList) *apiresource.Quantity {
		if q, ok := list[name]; ok {
			return &q
		}
		return nil
	}
	key := func(f string) *field.Path { return path.Child(f).Key(string(name)) }
	min, max := value(item.Min), value(item.Max)
	var limit, request *apiresource.Quantity
	if item.Type != corev1.LimitTypePod {
		limit, request = value(item.Default), value(item.DefaultRequest)
	}
	for _, pair := range []struct {
		field, low, high string
		a, b             *apiresource.Quantity
	}{
		{"min", "min", "max", min, max},
		{"defaultRequest", "min", "default request", min, request},
		{"defaultRequest", "default request", "max", request, max},
		{"defaultRequest", "default request", "default limit", request, limit},
		{"default", "min", "default", min, limit},
		{"default", "default", "max", limit, max},
	} {
		if pair.a != nil && pair.b != nil && pair.a.Cmp(*pair.b) > 0 {
			errs = append(errs, field.Invalid(key(pair.field), pair.a.String(),
				fmt.Sprintf("%s value %s is greater than %s value %s", pair.low, pair.a.String(), pair.high, pair.b.String())))
		}
	}
	if ratio := value(item.MaxLimitRequestRatio); ratio != nil {
		errs = append(errs, validateRatio(*ratio, min, max, key("maxLimitRequestRatio"))...)
	}
	if !podspec.CanOvercommit(name) && limit != nil && request != nil && limit.Cmp(*request) != 0 {
		errs = append(errs, field.Invalid(key("defaultRequest"), name,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name)))
	}
	return errs
}

func validateRatio(ratio apiresource.Quantity, min, max *apiresource.Quantity, path *field.Path) field.ErrorList {
	if ratio.Cmp(*apiresource.NewQuantity(1, apiresource.DecimalSI)) < 0 {
		return field.ErrorList{field.Invalid(path, ratio.String(), fmt.Sprintf("ratio %s is less than 1", ratio.String()))}
	}
	if min == nil || max == nil || min.IsZero() {
		return nil
	}
	if limit := max.AsApproximateFloat64() / min.AsApproximateFloat64(); ratio.AsApproximateFloat64() > limit {
		return field.ErrorList{field.Invalid(path, ratio.String(), fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), limit))}
	}
	return nil
}
