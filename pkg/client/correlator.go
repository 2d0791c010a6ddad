package client

import (
	"container/list"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	correlatorSize = 4096             // things remembered; the longest unheard of is forgotten
	similarWindow  = 10 * time.Minute // silence after which counting starts anew
	similarMax     = 10               // different sentences for one reason before they are combined
	objectBurst    = 25               // writes of one voice at once
	objectRefill   = 5 * time.Minute  // and one more per
)

// voice is who says of what that it is normal, or that it is not: however much there is to tell of a
// good course, nobody is kept from hearing that it ended badly.
type voice struct {
	source corev1.EventSource
	about  corev1.ObjectReference
	kind   string
}

// similar identifies events that differ in their sentence only.
type similar struct {
	voice
	reason string
}

// same identifies events that differ in nothing but their time.
type same struct {
	similar
	words string
}

// writing is an event on its way to the API: new if its Count is 1, else one more of it.
type writing struct {
	key   same
	event *corev1.Event
}

// correlator finds what repeats: the same sentence is counted in one event, many sentences
// for one reason become one combined event, and no voice may flood the API. It is a
// pure state machine: time comes with the events. It has one user at a time.
type correlator struct {
	written lru[same, *corev1.Event]
	recent  lru[similar, *sentences]
	budgets lru[voice, *budget]
	named   int // makes names unique
}

type sentences struct {
	words map[string]bool
	last  time.Time
}

type budget struct {
	left float64
	last time.Time
}

func newCorrelator() *correlator {
	return &correlator{
		written: newLRU[same, *corev1.Event](correlatorSize),
		recent:  newLRU[similar, *sentences](correlatorSize),
		budgets: newLRU[voice, *budget](correlatorSize),
	}
}

// next returns what to write for h; ok is false when h's voice has had its share.
func (c *correlator) next(h happening) (w writing, ok bool) {
	about := h.about
	about.ResourceVersion = "" // the same thing at another version is the same thing
	of := voice{source: h.source, about: about, kind: h.kind}
	if !c.spend(of, h.at) {
		return writing{}, false
	}
	key := same{similar: similar{voice: of, reason: h.reason}, words: h.words}
	if c.combines(key, h.at) {
		key.words = "" // all of them count as one
		h.words = "(combined from similar events): " + h.words
	}
	prev, found := c.written.get(key)
	var ev *corev1.Event
	if found && h.at.Sub(prev.LastTimestamp.Time) < similarWindow {
		ev = prev.DeepCopy()
		ev.Count++
		ev.LastTimestamp, ev.Message = metav1.NewTime(h.at), h.words
	} else {
		ev = c.fresh(h)
	}
	c.written.put(key, ev)
	return writing{key: key, event: ev.DeepCopy()}, true
}

func (c *correlator) spend(of voice, now time.Time) bool {
	b, ok := c.budgets.get(of)
	if !ok {
		b = &budget{left: objectBurst, last: now}
		c.budgets.put(of, b)
	}
	b.left = min(objectBurst, b.left+float64(now.Sub(b.last))/float64(objectRefill))
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (c *correlator) combines(key same, now time.Time) bool {
	s, ok := c.recent.get(key.similar)
	if !ok || now.Sub(s.last) > similarWindow {
		s = &sentences{words: make(map[string]bool)}
		c.recent.put(key.similar, s)
	}
	s.last = now
	if s.words[key.words] {
		return false
	}
	if len(s.words) >= similarMax {
		return true
	}
	s.words[key.words] = true
	return false
}

func (c *correlator) fresh(h happening) *corev1.Event {
	ns := h.about.Namespace
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	at := metav1.NewTime(h.at)
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: ns, Name: c.name(h.about, h.at)},
		InvolvedObject: h.about, Type: h.kind, Reason: h.reason, Message: h.words,
		Source: h.source, ReportingController: h.source.Component, ReportingInstance: h.source.Host,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
}

func (c *correlator) name(about corev1.ObjectReference, at time.Time) string {
	c.named++
	const room = 253 - 1 - 16 // a name's length without what is added
	base := strings.TrimRight(about.Name[:min(room, len(about.Name))], ".-")
	return fmt.Sprintf("%s.%016x", base, uint64(at.UnixNano())+uint64(c.named)<<48)
}

// rename gives an event another name, because its own was taken.
func (c *correlator) rename(w *writing) {
	w.event.Name = c.name(w.event.InvolvedObject, w.event.LastTimestamp.Time)
	c.written.put(w.key, w.event.DeepCopy())
}

// failed forgets an event that could not be written.
func (c *correlator) failed(w writing) { c.written.remove(w.key) }

// lru is a map of bounded size that forgets what was not used for longest.
type lru[K comparable, V any] struct {
	max   int
	items map[K]*list.Element
	order *list.List // of pair, the latest first
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](n int) lru[K, V] {
	return lru[K, V]{max: n, items: make(map[K]*list.Element), order: list.New()}
}

func (l *lru[K, V]) get(k K) (v V, ok bool) {
	e := l.items[k]
	if e == nil {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*pair[K, V]).value, true
}

func (l *lru[K, V]) put(k K, v V) {
	if e := l.items[k]; e != nil {
		e.Value.(*pair[K, V]).value = v
		l.order.MoveToFront(e)
		return
	}
	l.items[k] = l.order.PushFront(&pair[K, V]{k, v})
	if l.order.Len() > l.max {
		oldest := l.order.Remove(l.order.Back()).(*pair[K, V])
		delete(l.items, oldest.key)
	}
}

func (l *lru[K, V]) remove(k K) {
	if e := l.items[k]; e != nil {
		l.order.Remove(e)
		delete(l.items, k)
	}
}
