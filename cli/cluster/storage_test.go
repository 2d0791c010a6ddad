package cluster

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/pkg/claims"
)

func TestStorageClassIsTheOneInDeploy(t *testing.T) {
	text, err := os.ReadFile("../../deploy/local-path.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var class storagev1.StorageClass
	if err := yaml.UnmarshalStrict(text, &class); err != nil {
		t.Fatal(err)
	}
	class.TypeMeta = metav1.TypeMeta{}
	if diff := cmp.Diff(claims.LocalPathClass(), &class); diff != "" {
		t.Errorf("cluster up makes another class than deploy/local-path.yaml (-code +file):\n%s", diff)
	}
}
