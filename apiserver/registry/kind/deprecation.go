package kind

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/miniorch/miniorch/pkg/api"
)

// deprecation is what users of a kind are told whose Go type says that its time is over.
func deprecation[T api.Object]() string {
	var kind T
	old, is := any(kind).(interface{ APILifecycleDeprecated() (major, minor int) })
	if !is {
		return ""
	}
	gvk := api.ResourceFor[T]().GVK()
	major, minor := old.APILifecycleDeprecated()
	text := fmt.Sprintf("%s %s is deprecated in v%d.%d+", gvk.GroupVersion(), gvk.Kind, major, minor)
	if next, has := any(kind).(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); has {
		other := next.APILifecycleReplacement()
		text += fmt.Sprintf("; use %s %s", other.GroupVersion(), other.Kind)
	}
	return text
}
