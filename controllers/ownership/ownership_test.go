package ownership

import (
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/miniorch/miniorch/pkg/api"
)

func pod(label string, controller types.UID, deleting bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "p-uid", ResourceVersion: "7", Labels: map[string]string{"app": label}}}
	if controller != "" {
		p.OwnerReferences = []metav1.OwnerReference{{UID: "other"}, {UID: controller, Controller: ptr.To(true)}}
	}
	if deleting {
		p.DeletionTimestamp = ptr.To(metav1.Now())
	}
	return p
}

func TestDecide(t *testing.T) {
	owner, going := pod("", "", false), pod("", "", true)
	owner.UID, going.UID = "me", "me"
	selector := labels.SelectorFromSet(labels.Set{"app": "web"})
	cases := []struct {
		reason string
		owner  api.Object
		pod    *corev1.Pod
		want   string // owned adopt release
	}{
		{"mine and selected", owner, pod("web", "me", false), "1 0 0"},
		{"mine, selected, on its way out", owner, pod("web", "me", true), "1 0 0"},
		{"mine, selected no longer", owner, pod("api", "me", false), "0 0 1"},
		{"nobody's, selected", owner, pod("web", "", false), "0 1 0"},
		{"nobody's, on its way out", owner, pod("web", "", true), "0 0 0"},
		{"nobody's, not selected", owner, pod("api", "", false), "0 0 0"},
		{"somebody else's", owner, pod("web", "them", false), "0 0 0"},
		{"an owner on its way out adopts nobody", going, pod("web", "", false), "0 0 0"},
		{"and releases nobody", going, pod("api", "me", false), "0 0 0"},
		{"but still owns", going, pod("web", "me", false), "1 0 0"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			c := Decide(tc.owner, selector, []*corev1.Pod{tc.pod})
			if got := fmt.Sprint(len(c.Owned), len(c.Adopt), len(c.Release)); got != tc.want {
				t.Errorf("owned, adopt, release are %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPatchesAreFencedAndKeepOtherOwners(t *testing.T) {
	for name, tc := range map[string]struct {
		patch []byte
		want  string
	}{
		"adopt":   {AdoptPatch(pod("web", "", false), metav1.OwnerReference{UID: "me"}, ""), "p-uid 7 [me]"},
		"release": {ReleasePatch(pod("web", "me", false), "me", ""), "p-uid 7 [other]"},
	} {
		var body struct{ Metadata metav1.ObjectMeta }
		if err := json.Unmarshal(tc.patch, &body); err != nil {
			t.Fatal(err)
		}
		var owners []types.UID
		for _, ref := range body.Metadata.OwnerReferences {
			owners = append(owners, ref.UID)
		}
		if got := fmt.Sprint(body.Metadata.UID, " ", body.Metadata.ResourceVersion, " ", owners); got != tc.want {
			t.Errorf("%s: the patch says %s, want %s", name, got, tc.want)
		}
	}
}
