package clients

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestHelm is the life of a release, with server-side apply (Helm's way today) and with patches
// that the client makes (its way of old).
func TestHelm(t *testing.T) {
	for _, way := range []string{"--server-side=true", "--server-side=false"} {
		t.Run(way, func(t *testing.T) {
			c := startCluster(t)
			c.run("helm", "", "lint testdata/chart", "0 chart(s) failed")
			c.run("helm", "", "install web testdata/chart "+way, "STATUS: deployed", "REVISION: 1", "Say hello at web.")
			c.fail("helm", "", "install web testdata/chart "+way, "cannot reuse a name that is still in use")
			if got := c.release(t); got != (release{2, "hello", true}) {
				t.Errorf("after install: %+v", got)
			}
			version, err := c.set.CoreV1().ConfigMaps("default").Get(t.Context(), "web", metav1.GetOptions{})
			check(t, err)
			if version.Data["kubernetes"] != "v1.37.0+miniorch" {
				t.Errorf("Helm believes that this is %q", version.Data["kubernetes"])
			}

			// Somebody scales by hand; an upgrade takes it back only where the chart says so.
			c.run("kubectl", "", "scale deployment web --replicas=5", "scaled")
			force := ""
			if way == "--server-side=true" {
				force = " --force-conflicts"
			}
			c.run("helm", "", "upgrade web testdata/chart --set replicas=3,greeting=servus,cache=false --server-side=auto"+force, "REVISION: 2", "Say servus")
			if got := c.release(t); got != (release{3, "servus", false}) {
				t.Errorf("after upgrade: %+v", got)
			}
			c.fail("helm", "", "upgrade web testdata/chart --set replicas=many --server-side=auto", "replicas")
			c.run("helm", "", "rollback web 1 --server-side=auto"+force, "Rollback was a success")
			if got := c.release(t); got != (release{2, "hello", true}) {
				t.Errorf("after rollback: %+v", got)
			}
			c.run("helm", "", "history web", "superseded", "Rollback to 1")
			c.run("helm", "", "list", "web", "deployed", "shop-1.2.3")
			c.run("helm", "", "get manifest web", "kind: Deployment")
			c.run("helm", "", "upgrade --install web testdata/chart --dry-run=server --server-side=auto", "STATUS: pending-upgrade")
			c.run("helm", "", "uninstall web", `release "web" uninstalled`)
			_, err = c.set.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				t.Errorf("after uninstall: %v", err)
			}
			secrets, err := c.set.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
			check(t, err)
			if len(secrets.Items) > 0 {
				t.Errorf("%d secrets are left, %s among them", len(secrets.Items), secrets.Items[0].Name)
			}
		})
	}
}

// release is what the chart made.
type release struct {
	replicas int32
	greeting string
	cache    bool
}

func (c *cluster) release(t *testing.T) (r release) {
	t.Helper()
	d, err := c.set.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	settings, err := c.set.CoreV1().ConfigMaps("default").Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	_, err = c.set.CoreV1().ConfigMaps("default").Get(t.Context(), "web-cache", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return release{*d.Spec.Replicas, settings.Data["greeting"], err == nil}
}
