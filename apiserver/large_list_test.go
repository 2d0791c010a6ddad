package apiserver_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/miniorch/miniorch/apiserver"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
)

// A LIST that is larger than what may be kept of encodings is complete in every format, again
// and again, and what is kept stays within the budget.
func TestListsBeyondTheBudget(t *testing.T) {
	const objects, size, limit = 200, 2000, 100_000
	budget := watchcache.NewBudget(limit)
	c := startCluster(t, func(cfg *apiserver.Config) { cfg.Rest.EncodedBudget = budget })
	maps := c.admin("").CoreV1().ConfigMaps("default")
	for i := range objects {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%03d", i)}, Data: map[string]string{"k": strings.Repeat("x", size)}}
		if _, err := maps.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(names []string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != objects {
			t.Errorf("%d objects", len(names))
		}
		for i, name := range names {
			if want := fmt.Sprintf("m%03d", i); name != want {
				t.Fatalf("object %d is %s", i, name)
			}
		}
		if used := budget.Used(); used > limit || used < limit/2 {
			t.Errorf("the kept encodings take %d bytes, of %d", used, limit)
		}
	}
	for range 3 {
		for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
			var names []string
			list, err := c.admin(media).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
			for _, cm := range list.Items {
				if len(cm.Data["k"]) == size {
					names = append(names, cm.Name)
				}
			}
			check(names, err)
		}
		some, err := metadata.NewForConfig(c.as(apiserver.AdminUser, "system:masters")) // metadata alone, as protobuf
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		list, err := some.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace("default").List(t.Context(), metav1.ListOptions{})
		for _, cm := range list.Items {
			names = append(names, cm.Name)
		}
		check(names, err)
	}
}
