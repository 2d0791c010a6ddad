package core

//lint:file-ignore SA1019 kubectl get componentstatuses still asks.

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/miniorch/miniorch/apiserver/registry/kind"
	"github.com/miniorch/miniorch/apiserver/resource"
	"github.com/miniorch/miniorch/pkg/api"
)

// Component is a part of the control plane that can be asked whether it works.
type Component struct {
	Name  string
	Check func(ctx context.Context) error // nil: it works
}

// componentStatuses shows the parts of the control plane. Nothing of it is stored.
func componentStatuses(components []Component) resource.Descriptor {
	d := kind.Describe(kind.Of[*corev1.ComponentStatus]{
		Singular:   "componentstatus",
		ShortNames: []string{"cs"},
		New:        func() *corev1.ComponentStatus { return &corev1.ComponentStatus{} },
		NewList:    func() runtime.Object { return &corev1.ComponentStatusList{} },
		Columns:    componentColumns(),
	})
	d.Virtual = &resource.Virtual{
		Get: func(ctx context.Context, _, name string) (api.Object, error) {
			for _, c := range components {
				if c.Name == name {
					return statusOfComponent(ctx, c), nil
				}
			}
			return nil, apierrors.NewNotFound(d.GroupResource(), name)
		},
		List: func(ctx context.Context, _ string) ([]api.Object, error) {
			var all []api.Object
			for _, c := range components {
				all = append(all, statusOfComponent(ctx, c))
			}
			return all, nil
		},
	}
	return d
}

func statusOfComponent(ctx context.Context, c Component) *corev1.ComponentStatus {
	condition := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err := c.Check(ctx); err != nil {
		condition.Status, condition.Message, condition.Error = corev1.ConditionFalse, "", err.Error()
	}
	return &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: c.Name}, Conditions: []corev1.ComponentCondition{condition}}
}

func componentColumns() []kind.Column[*corev1.ComponentStatus] {
	type component = *corev1.ComponentStatus
	healthy := func(c component) corev1.ComponentCondition {
		for _, one := range c.Conditions {
			if one.Type == corev1.ComponentHealthy {
				return one
			}
		}
		return corev1.ComponentCondition{Status: corev1.ConditionUnknown}
	}
	return []kind.Column[component]{
		kind.NameColumn[component](),
		kind.TextColumn("Status", "Whether it works.", func(c component) string {
			switch healthy(c).Status {
			case corev1.ConditionTrue:
				return "Healthy"
			case corev1.ConditionFalse:
				return "Unhealthy"
			}
			return "Unknown"
		}),
		kind.TextColumn("Message", "What it says.", func(c component) string { return healthy(c).Message }),
		kind.TextColumn("Error", "What is wrong.", func(c component) string { return healthy(c).Error }),
	}
}
