package client_test

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/miniorch/miniorch/pkg/client"
	"github.com/miniorch/miniorch/pkg/client/clienttest"
)

func onNode(name string) client.Selection {
	return client.Selection{Fields: fields.OneTermEqualSelector("spec.nodeName", name)}
}

// Parts see what informers of their own would see, asked for early or late.
func TestSplitDealsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clienttest.NewServer(t, pod("a1", "a"), pod("b1", "b"), pod("free", ""))
		informers := clienttest.NewInformers(t, server)
		client.Split(informers, "spec.nodeName", func(p *corev1.Pod) string { return p.Spec.NodeName })
		early := client.InformerWith[*corev1.Pod](informers, onNode("a"))
		var told, toldLate journal
		early.Handle(told.note)
		clienttest.RunInformers(t, informers)
		synctest.Wait()
		told.expect(t, "+a1")
		late := client.InformerWith[*corev1.Pod](informers, onNode("b"))
		late.Handle(toldLate.note)
		toldLate.expect(t, "+b1")
		if !early.Synced() || !late.Synced() {
			t.Errorf("synced: %v, %v", early.Synced(), late.Synced())
		}

		pods := client.Of[*corev1.Pod](server)
		moved := pod("free", "a")
		if _, err := pods.Update(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
		told.expect(t, "+free")
		if _, err := pods.Update(t.Context(), pod("free", "b")); err != nil {
			t.Fatal(err)
		}
		told.expect(t, "-free")
		toldLate.expect(t, "+free")
		if err := pods.Delete(t.Context(), "d", "b1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		told.expect(t)
		toldLate.expect(t, "-b1")
		if got := names(late.List("", nil)); got != "free" {
			t.Errorf("the late part holds %q", got)
		}
	})
}

// What a split does not cover keeps a watch of its own.
func TestSplitLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clienttest.NewServer(t, pod("a1", "a", "app", "x"), pod("a2", "a"))
		informers := clienttest.NewInformers(t, server)
		client.Split(informers, "spec.nodeName", func(p *corev1.Pod) string { return p.Spec.NodeName })
		narrow := onNode("a")
		narrow.Labels = labels.SelectorFromSet(labels.Set{"app": "x"})
		labelled := client.InformerWith[*corev1.Pod](informers, narrow)
		elsewhere := onNode("a")
		elsewhere.Namespace = "other"
		none := client.InformerWith[*corev1.Pod](informers, elsewhere)
		clienttest.RunInformers(t, informers)
		synctest.Wait()
		if got := names(labelled.List("", nil)); got != "a1" {
			t.Errorf("selected by label, too: %q", got)
		}
		if !none.Synced() || none.Len() != 0 {
			t.Errorf("another namespace: synced %v, %d pods", none.Synced(), none.Len())
		}
	})
}
