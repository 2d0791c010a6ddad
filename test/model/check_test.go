package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkChanges: every change of the store is by one of the requests, and what the model makes
// of the state before it.
func (w *world) checkChanges(h *history) {
	done := map[*op]int{}
	for _, c := range h.changes {
		var before, after *state
		if c.before != nil {
			before = c.before.state
		}
		if c.after != nil {
			after = c.after.state
		}
		o := w.author(c, before, after)
		if o == nil {
			w.Errorf("revision %d of %v: nobody asked for %s -> %s; meanwhile there were%s", c.revision, c.place, before.text(), after.text(), w.about(c))
			continue
		}
		if o.wrote(before, after) {
			done[o]++
		}
		if o.Verb == removeCollection {
			continue
		}
		if out := o.do(before); out.refused != "" || out.now.text() != after.text() {
			w.Errorf("revision %d: %v made of\n%s\n%s, the model makes %q\n%s", c.revision, o, before.text(), after.text(), out.refused, out.now.text())
		}
	}
	for o, n := range done {
		if n > 1 && o.Verb != remove && o.Verb != removeCollection { // a deletion's mark is anybody's
			w.Errorf("%v was done %d times", o, n)
		}
	}
	for _, o := range w.ops {
		w.checkOp(h, o, done[o])
	}
}

// author finds the request that a change is by. Who got no answer may have been heard later.
func (w *world) author(c change, before, after *state) *op {
	var deleting *op
	for _, o := range w.ops {
		if !o.Place.covers(c.place) || o.DryRun || o.Reason != "" || c.revision <= o.Begun || !o.Lost && c.revision > o.Ended {
			continue
		}
		if o.wrote(before, after) && (o.Verb != remove || o.do(before).refused == "") {
			return o
		}
		// What is gone carries no mark. A deletion says so by its answer; an update may remove
		// what only its finalizers held.
		if after == nil && before != nil {
			out := o.do(before)
			if o.Verb == removeCollection && before.Color == o.Color || o.Verb != removeCollection && out.refused == "" && out.now == nil {
				deleting = o
			}
		}
	}
	return deleting
}

// about lists the requests that could have had to do with a change.
func (w *world) about(c change) string {
	var out strings.Builder
	for _, o := range w.ops {
		if o.Place.covers(c.place) && o.Begun <= c.revision && (o.Lost || o.Ended >= c.revision) {
			fmt.Fprintf(&out, "\n  %v", o)
		}
	}
	return out.String()
}

// checkOp: what a request was answered follows from a state that the object was in meanwhile.
func (w *world) checkOp(h *history, o *op, done int) {
	switch {
	case o.Lost:
		if w.calm && !o.Busy {
			w.Errorf("%v, from a server that was there", o)
		}
		return
	case o.Verb == removeCollection:
		w.checkCollection(h, o)
		return
	case o.Reason != "":
		if o.Place.name != "g-" && !slices.ContainsFunc(h.during(o.Place, o.Begun, o.Ended), func(v *version) bool {
			return o.do(stateFrom(v)).refused == o.Reason
		}) {
			w.Errorf("%v: the model knows of no reason among %s", o, texts(h.during(o.Place, o.Begun, o.Ended)))
		}
		return
	case o.DryRun:
		if done > 0 {
			w.Errorf("%v was done", o)
		}
	case o.Got != nil && o.Raw != "":
		rev, _ := strconv.ParseInt(o.Got.Revision, 10, 64)
		v := h.at(o.Place, rev)
		gone := o.Verb != remove && o.Got.Deleting && len(o.Got.Finalizers) == 0
		if !gone && (v == nil || v.raw != o.Raw) && o.Verb != remove {
			w.Errorf("%v was answered with\n%s, stored is\n%+v", o, o.Raw, v)
		}
	}
	// Some state in between must lead to success, and to the answer if there was one.
	if o.Verb == remove || o.Got == nil {
		if !slices.ContainsFunc(h.during(o.Place, o.Begun, o.Ended), func(v *version) bool { return o.do(stateFrom(v)).refused == "" }) {
			w.Errorf("%v: the model refuses it in all of %s", o, texts(h.during(o.Place, o.Begun, o.Ended)))
		}
		return
	}
	if !slices.ContainsFunc(h.during(o.Place, o.Begun, o.Ended), func(v *version) bool {
		out := o.do(stateFrom(v))
		gone := out.refused == "" && out.now == nil && o.Got.Deleting // the answer is the object as it would be
		return gone || out.now.text() == o.Got.text()
	}) {
		w.Errorf("%v was answered with\n%s, which the model makes of none of %s", o, o.Got.text(), texts(h.during(o.Place, o.Begun, o.Ended)))
	}
}

func stateFrom(v *version) *state {
	if v == nil {
		return nil
	}
	return v.state
}

func texts(versions []*version) string {
	var out []string
	for _, v := range versions {
		if v == nil {
			out = append(out, "nothing")
			continue
		}
		out = append(out, v.Revision+": "+v.text())
	}
	return "\n  " + strings.Join(out, "\n  ")
}

// checkCollection: what matched all the while is gone or on its way, and what was not
// selected is not said to have been deleted.
func (w *world) checkCollection(h *history, o *op) {
	if o.Reason != "" || o.DryRun {
		return
	}
	for p := range h.byPlace {
		if !o.Place.covers(p) {
			continue
		}
		told := slices.Contains(o.Deleted, p.name)
		always, sometimes := true, false
		for _, v := range h.during(p, o.Begun, o.Ended) {
			if v != nil && v.Color == o.Color {
				sometimes = true
				always = always && !v.Deleting
			} else {
				always = false
			}
		}
		if told && !sometimes || !told && always {
			w.Errorf("%v: %v deleted=%v, which was selected: sometimes=%v, always and alive=%v", o, p, told, sometimes, always)
		}
		if told && always {
			w.Errorf("%v: %v is still there and not being deleted", o, p)
		}
	}
}

// checkRead: an answer is the state at its revision, which is as new as was asked for.
func (w *world) checkRead(h *history, rd *read) {
	if rd.place.name != "" {
		w.checkGet(h, rd)
		return
	}
	newest := rd.ended
	switch {
	case rd.exact && rd.revision != rd.asked, rd.asked > 0 && rd.limit > 0 && !strings.Contains(rd.options, "NotOlder") && rd.revision != rd.asked:
		w.Errorf("%v: revision %d", rd, rd.revision)
	case rd.asked < 0 && rd.revision < rd.begun, rd.revision < rd.asked, rd.revision > newest:
		w.Errorf("%v: revision %d", rd, rd.revision)
	}
	want := h.collection(rd.selection, rd.revision)
	if rd.cut >= 0 {
		want = w.spliced(h, rd, want)
	}
	var got, wanted []string
	for _, it := range rd.items {
		got = append(got, it.raw)
	}
	for _, v := range want {
		wanted = append(wanted, v.raw)
	}
	if !slices.Equal(got, wanted) {
		w.Errorf("%v at %d (cut at %d, resumed at %d):\n%s\nwant\n%s", rd, rd.revision, rd.cut, rd.resumed, strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
	w.checkPages(rd)
}

// spliced is what a list shows that went on in another state: what is after the last item
// that it had shown.
func (w *world) spliced(h *history, rd *read, want []*version) []*version {
	if rd.cut > len(want) {
		return want
	}
	want = want[:rd.cut:rd.cut]
	for _, v := range h.collection(rd.selection, rd.resumed) {
		if rd.cut == 0 || v.key > want[rd.cut-1].key {
			want = append(want, v)
		}
	}
	return want
}

func (w *world) checkPages(rd *read) {
	shown := 0
	for i, n := range rd.pages {
		shown += n
		if rd.limit > 0 && int64(n) > rd.limit {
			w.Errorf("%v: a page of %d items", rd, n)
		}
		if i >= len(rd.remaining) || rd.cut >= 0 {
			continue
		}
		if left := int64(len(rd.items) - shown); rd.remaining[i] >= 0 && rd.remaining[i] != left || rd.remaining[i] < 0 && !rd.selection.filtered() {
			w.Errorf("%v: page %d says that %d are left, there are %d", rd, i, rd.remaining[i], left)
		}
	}
}

func (w *world) checkGet(h *history, rd *read) {
	from := rd.begun
	if rd.asked >= 0 {
		from = rd.asked // the cache's word, at least that new
	}
	for _, v := range h.during(rd.place, from, rd.ended) {
		if v == nil && !rd.found || v != nil && rd.found && v.raw == rd.items[0].raw {
			return
		}
	}
	w.Errorf("%v found=%v: %v, not among %s", rd, rd.found, rd.items, texts(h.during(rd.place, from, rd.ended)))
}
