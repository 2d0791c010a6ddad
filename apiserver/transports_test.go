package apiserver_test

import (
	"path/filepath"
	"testing"

	"github.com/miniorch/miniorch/apiserver/auth"
	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

// TestTransports runs the suite of every client.Transport over both ways to this server.
func TestTransports(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		clienttest.TestTransport(t, startCluster(t).server.Client(auth.Admin()))
	})
	t.Run("http", func(t *testing.T) {
		c := startCluster(t)
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := c.security.WriteAdminKubeconfig(path, c.url, "test"); err != nil {
			t.Fatal(err)
		}
		cfg, err := client.LoadKubeconfig(path)
		if err != nil {
			t.Fatal(err)
		}
		transport, err := client.NewHTTP(cfg)
		if err != nil {
			t.Fatal(err)
		}
		clienttest.TestTransport(t, transport)
	})
}
