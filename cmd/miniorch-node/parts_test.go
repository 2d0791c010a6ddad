package main

import (
	"context"
	"errors"
	"testing"

	"github.com/miniorch/miniorch/kubelet"
	"github.com/miniorch/miniorch/kubelet/container"
)

// store has some images from the beginning and others once they were imported.
type store struct {
	kubelet.Runtime
	imported <-chan struct{}
}

func (s store) Image(_ context.Context, ref string) (image container.Image, present bool, err error) {
	select {
	case <-s.imported:
		present = ref == "late"
	default:
	}
	return image, present || ref == "early", nil
}

func TestImagesAreImportedFirst(t *testing.T) {
	imported := make(chan struct{})
	r := importedFirst{store{imported: imported}, imported}
	if _, present, err := r.Image(t.Context(), "early"); !present || err != nil {
		t.Errorf("what is there is there: %v, %v", present, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, present, err := r.Image(gone, "late"); present || !errors.Is(err, context.Canceled) {
		t.Errorf("a pod that goes does not wait: %v, %v", present, err)
	}
	go close(imported)
	if _, present, err := r.Image(t.Context(), "late"); !present || err != nil {
		t.Errorf("after the import: %v, %v", present, err)
	}
	if _, present, err := r.Image(t.Context(), "nowhere"); present || err != nil {
		t.Errorf("what was not imported: %v, %v", present, err)
	}
}
