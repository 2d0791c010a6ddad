package controllertest

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miniorch/miniorch/pkg/api"
	"github.com/miniorch/miniorch/pkg/client"
)

// Host is what the verbs need: a World, or a test's own type that holds one.
type Host interface {
	testing.TB
	API() client.Transport
}

// Create makes an object, or ends the test.
func Create[T api.Object](w Host, obj T) T {
	w.Helper()
	made, err := client.Of[T](w.API()).Create(w.Context(), obj)
	if err != nil {
		w.Fatalf("creating %T: %v", obj, err)
	}
	return made
}

// Get reads an object that must be there.
func Get[T api.Object](w Host, ns, name string) T {
	w.Helper()
	obj, err := client.Of[T](w.API()).Get(w.Context(), ns, name)
	if err != nil {
		w.Fatalf("reading %s/%s: %v", ns, name, err)
	}
	return obj
}

// Exists tells whether an object is there.
func Exists[T api.Object](w Host, ns, name string) bool {
	w.Helper()
	_, err := client.Of[T](w.API()).Get(w.Context(), ns, name)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Fatalf("reading %s/%s: %v", ns, name, err)
	}
	return err == nil
}

// List reads the objects that a label selector finds.
func List[T api.Object](w Host, ns, selector string) []T {
	w.Helper()
	objs, _, err := client.Of[T](w.API()).List(w.Context(), ns, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		w.Fatalf("listing: %v", err)
	}
	return objs
}

// Edit changes an object, again if somebody else did so meanwhile.
func Edit[T api.Object](w Host, ns, name string, change func(T)) {
	w.Helper()
	editWith(w, ns, name, change, client.Of[T](w.API()).Update)
}

// EditStatus is Edit for the status subresource.
func EditStatus[T api.Object](w Host, ns, name string, change func(T)) {
	w.Helper()
	editWith(w, ns, name, change, client.Of[T](w.API()).UpdateStatus)
}

func editWith[T api.Object](w Host, ns, name string, change func(T), write func(context.Context, T) (T, error)) {
	w.Helper()
	for range 20 {
		obj := Get[T](w, ns, name).DeepCopyObject().(T)
		change(obj)
		_, err := write(w.Context(), obj)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			w.Fatalf("updating %s/%s: %v", ns, name, err)
		}
	}
	w.Fatalf("updating %s/%s: conflicts without end", ns, name)
}

// Remove deletes an object, and its dependents as how says.
func Remove[T api.Object](w Host, ns, name string, how metav1.DeletionPropagation) {
	w.Helper()
	if err := client.Of[T](w.API()).Delete(w.Context(), ns, name, metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		w.Fatalf("deleting %s/%s: %v", ns, name, err)
	}
}

// Template is a pod of one container, labelled app=web.
func Template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

// Meta names an object.
func Meta(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }
