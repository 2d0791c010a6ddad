package cluster

import (
	"context"
	"fmt"

	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/miniorch/miniorch/pkg/claims"
	"github.com/miniorch/miniorch/pkg/client"
)

// ensureStorageClass makes the default StorageClass, unless there is one of its name.
func (cl *Cluster) ensureStorageClass(ctx context.Context) error {
	transport, err := cl.transport()
	if err != nil {
		return err
	}
	_, err = client.Of[*storagev1.StorageClass](transport).Create(ctx, claims.LocalPathClass())
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the default StorageClass: %w", err)
	}
	return nil
}
