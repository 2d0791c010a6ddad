package volumes

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUsed(t *testing.T) {
	m := New(nil, Config{RootDir: t.TempDir()})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1"}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{
		{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}}}
	if used, err := m.Used(t.Context(), pod, "v"); used != 0 || err != nil {
		t.Errorf("before it is made: %d, %v", used, err)
	}
	dir := m.volumeDir(pod.UID, &pod.Spec.Volumes[0])
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	empty, err := m.Used(t.Context(), pod, "v")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "sub", "f"))
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 1<<20) // that no file system can compress
	rand.NewChaCha8([32]byte{}).Read(content)
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil { // what is not written takes nothing
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "sub", "f"), filepath.Join(dir, "g")); err != nil {
		t.Fatal(err)
	}
	used, err := m.Used(t.Context(), pod, "v")
	if got := used - empty; err != nil || got < 1<<20 || got > 1<<20+64<<10 {
		t.Errorf("a file of 1 MiB with two names: %d, %v", got, err)
	}
}
