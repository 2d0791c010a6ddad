package model

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"

	"github.com/miniorch/miniorch/apiserver/storage/memory"
	miniorch "github.com/miniorch/miniorch/pkg/client"
)

// TestRestoredBackup: informers, client-go's and ours, that have seen what the server has lost
// find their way back to what there is.
func TestRestoredBackup(t *testing.T) {
	w := newWorld(t, 1, false)
	set := w.clients(runtime.ContentTypeProtobuf)
	add := func(names ...string) {
		t.Helper()
		for _, name := range names {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if _, err := set.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("kept")
	for i := range 50 {
		add(fmt.Sprint("lost", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactoryWithOptions(set, 0, informers.WithNamespace("default"))
	theirs := factory.Core().V1().ConfigMaps().Lister().ConfigMaps("default")
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	transport, err := miniorch.NewHTTP(miniorch.HTTPConfig{Server: "https://" + w.address, CAData: w.security.CA.PEM(), CertData: w.security.Admin.Cert, KeyData: w.security.Admin.Key})
	if err != nil {
		t.Fatal(err)
	}
	ours := miniorch.NewInformers(transport, miniorch.Config{Logger: slog.New(slog.DiscardHandler)})
	list := miniorch.InformerFor[*corev1.ConfigMap](ours)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		if err := ours.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("our informers ended with: %v", err)
		}
	})

	shows := func(want ...string) {
		t.Helper()
		var one, other []string
		for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			one, other = nil, nil
			all, err := theirs.List(labels.Everything())
			if err != nil {
				t.Fatal(err)
			}
			for _, cm := range all {
				one = append(one, cm.Name)
			}
			for _, cm := range list.List("default", labels.Everything()) {
				other = append(other, cm.Name)
			}
			slices.Sort(one)
			slices.Sort(other)
			if slices.Equal(one, want) && slices.Equal(other, want) {
				return
			}
		}
		t.Fatalf("client-go shows %v, ours %v, want %v", one, other, want)
	}
	all := []string{"kept"}
	for i := range 50 {
		all = append(all, fmt.Sprint("lost", i))
	}
	slices.Sort(all)
	shows(all...)

	w.stop()
	w.store = memory.New(memory.Config{}) // the backup is from when there was nothing
	w.start()
	add("kept")
	shows("kept")
	add("new")
	shows("kept", "new")
}
