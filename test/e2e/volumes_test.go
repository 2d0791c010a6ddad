package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// testVolumes looks at files in volumes as containers see them: who owns them, who may read
// them, and how they follow what they come from.
func (w *world) testVolumes(t *testing.T) {
	manifest, err := os.ReadFile("testdata/volumes.yaml")
	check(t, err)
	w.apply(t, string(manifest))
	t.Run("modes", w.fileModes)
	t.Run("updates", w.filesFollow)
	t.Run("immutable", w.immutable)
	w.kubectl(t, "delete", "namespace", "volumes", "--wait=false")
}

// looked is what a pod of the namespace printed before it ended.
func (w *world) looked(t *testing.T, pod string) string {
	t.Helper()
	w.kubectl(t, "-n", "volumes", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/"+pod, "--timeout=3m")
	return w.kubectl(t, "-n", "volumes", "logs", pod)
}

func (w *world) fileModes(t *testing.T) {
	expect(t, w.looked(t, "root"),
		"conf/key -rw-r--r-- 0:0\nvalue\n", "strict/key -r-------- 0:0\nsecret\n", "item/path/to/key -r--r----- 0:0\nvalue\n",
		"hidden/key -rw-r--r-- 0:0\nsecret\n", "all/key -r--r----- 0:0\nroot\n", "all/path/to/key -r--r----- 0:0\nsecret\n", "decafebad0feff\n", "\nvalue", "drwxrwxrwx")
	expect(t, w.looked(t, "grouped"),
		"conf/key -rw-r--r-- 0:1001\nvalue\n", "strict/key -r--r----- 0:1001\nsecret\n", "all/key -r--r----- 0:1001\ngrouped\n", "all/path/to/key -r--r----- 0:1001\nsecret\n")
	out := w.looked(t, "empty")
	for _, dir := range []string{"disk", "mem"} {
		expect(t, out, dir+" drwxrwxrwx\n", dir+" 644 1001\n", dir+" 666 1001\n", dir+" 777 1001\n")
	}
	expect(t, out, "tmpfs /mem tmpfs rw", " 10240 ")
}

// filesFollow: what files come from is made, changed and deleted under a running pod.
func (w *world) filesFollow(t *testing.T) {
	w.kubectl(t, "-n", "volumes", "wait", "--for=condition=Ready", "pod/follower", "--timeout=3m")
	files := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the files %q", want), func() error {
			out, err := w.run("-n", "volumes", "exec", "follower", "--", "sh", "-c", "cd /v; for f in coming/* going/* hidden/* labels/*; do echo $f=$(cat $f 2>&1); done")
			for _, text := range want {
				if err == nil && !strings.Contains(out, text+"\n") {
					err = fmt.Errorf("want %q", text)
				}
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	const none = "can't open 'coming/*': No such file or directory"
	files("going/key=still here", "hidden/key=secret", `labels/labels=a="one"`, "coming/*=cat: "+none)
	w.kubectl(t, "-n", "volumes", "create", "configmap", "coming", "--from-literal=key=here")
	w.kubectl(t, "-n", "volumes", "delete", "configmap", "going")
	w.kubectl(t, "-n", "volumes", "patch", "secret", "hidden", "-p", `{"stringData":{"key":"changed","more":"added"}}`)
	w.kubectl(t, "-n", "volumes", "label", "pod", "follower", "b=two")
	files("coming/key=here", "going/*=cat: can't open 'going/*': No such file or directory", "hidden/key=changed", "hidden/more=added", `labels/labels=a="one" b="two"`)
}

// immutable: what is marked so keeps its content and its mark, and can be labelled and deleted.
func (w *world) immutable(t *testing.T) {
	for _, kind := range []string{"configmap/conf", "secret/hidden"} {
		w.kubectl(t, "-n", "volumes", "patch", kind, "-p", `{"immutable":true}`)
		for _, patch := range []string{`{"data":{"key":"bmV3"}}`, `{"immutable":false}`} {
			if out, err := w.run("-n", "volumes", "patch", kind, "-p", patch); err == nil || !strings.Contains(out, "field is immutable when `immutable` is set") {
				t.Errorf("%s took %s: %v %s", kind, patch, err, out)
			}
		}
		w.kubectl(t, "-n", "volumes", "label", kind, "a=b")
		w.kubectl(t, "-n", "volumes", "delete", kind)
	}
}
