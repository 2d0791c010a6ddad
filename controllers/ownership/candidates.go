package ownership

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

const (
	byController = "controller" // index value: the controller's UID
	orphans      = "orphans"    // index value: the namespace of an object without controller
)

// Index makes Candidates and Controlled work on inf.
func Index[T api.Object](inf *client.Informer[T]) {
	inf.Index(byController, func(obj T) []string {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			return []string{string(ref.UID)}
		}
		return nil
	})
	inf.Index(orphans, func(obj T) []string {
		if metav1.GetControllerOfNoCopy(obj) == nil {
			return []string{obj.GetNamespace()}
		}
		return nil
	})
}

// Controlled returns what the owner of this UID controls.
func Controlled[T api.Object](inf *client.Informer[T], owner types.UID) []T {
	return inf.ByIndex(byController, string(owner))
}

// Candidates returns all that Decide may have an opinion on: what owner controls and what
// nobody controls in its namespace.
func Candidates[T api.Object](inf *client.Informer[T], owner api.Object) []T {
	return append(Controlled(inf, owner.GetUID()), inf.ByIndex(orphans, owner.GetNamespace())...)
}
