package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/registry/podspec"
	"github.com/miniorch/miniorch/apiserver/resource"
)

func podTemplates() resource.Descriptor {
	type template = *corev1.PodTemplate
	return kind.Describe(kind.Of[template]{
		Singular:      "podtemplate",
		New:           func() template { return &corev1.PodTemplate{} },
		NewList:       func() runtime.Object { return &corev1.PodTemplateList{} },
		Defaults:      func(p template) { podspec.DefaultPodSpec(&p.Template.Spec) },
		PrepareCreate: func(p template) { p.Generation = 1 },
		PrepareUpdate: func(p, old template) {
			if !equality.Semantic.DeepEqual(p.Template, old.Template) {
				p.Generation = old.Generation + 1
			}
		},
		Validate: func(p template) field.ErrorList {
			return podspec.ValidateAnyPodTemplate(&p.Template, field.NewPath("template"))
		},
		Warnings: func(p, old template, isUpdate bool) []string {
			if isUpdate && equality.Semantic.DeepEqual(p.Template, old.Template) {
				return nil
			}
			return podspec.WarnPodSpec(&p.Template.Spec, field.NewPath("template", "spec"))
		},
		CreateOnUpdate:      true,
		UnconditionalUpdate: true,
		Columns:             podTemplateColumns(),
	})
}

func podTemplateColumns() []kind.Column[*corev1.PodTemplate] {
	type template = *corev1.PodTemplate
	join := func(p template, value func(corev1.Container) string) string {
		var all []string
		for _, c := range p.Template.Spec.Containers {
			all = append(all, value(c))
		}
		return strings.Join(all, ",")
	}
	return []kind.Column[template]{
		kind.NameColumn[template](),
		kind.TextColumn("Containers", "The names of the containers.", func(p template) string {
			return join(p, func(c corev1.Container) string { return c.Name })
		}),
		kind.TextColumn("Images", "The images of the containers.", func(p template) string {
			return join(p, func(c corev1.Container) string { return c.Image })
		}),
		kind.TextColumn("Pod Labels", "The labels of pods made from it.", func(p template) string { return formatLabels(p.Template.Labels) }),
	}
}
