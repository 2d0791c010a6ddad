package managedfields

import (
	"bytes"
	"errors"
	"strconv"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// node is one step of a parsed set of fields: {"f:spec":{"f:replicas":{}}}. Keys are kept as
// they stand in the text, which both the walk and the library write in one way only.
type node struct {
	key    []byte // with what escapes it has, without quotes
	member bool   // the path that ends here is in the set
	kids   []node // in the order of the text
}

var errSyntax = errors.New("managedfields: not a set of fields as it is stored")

// parseSet reads a stored set. It is strict: what it does not know is for the library.
func parseSet(text []byte) (*node, error) {
	p := setReader{text: text}
	root := &node{}
	if err := p.node(root); err != nil {
		return nil, err
	}
	if p.at != len(text) {
		return nil, errSyntax
	}
	root.member = false
	return root, nil
}

type setReader struct {
	text []byte
	at   int
}

func (p *setReader) eat(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// node reads one object into n. An empty one is a member.
func (p *setReader) node(n *node) error {
	if !p.eat('{') {
		return errSyntax
	}
	if p.eat('}') {
		n.member = true
		return nil
	}
	for {
		key, ok := p.key()
		if !ok || !p.eat(':') {
			return errSyntax
		}
		if string(key) == "." {
			if !p.eat('{') || !p.eat('}') {
				return errSyntax
			}
			n.member = true
		} else {
			if n.kids == nil {
				n.kids = make([]node, 0, 4)
			}
			n.kids = append(n.kids, node{key: key})
			if err := p.node(&n.kids[len(n.kids)-1]); err != nil {
				return err
			}
		}
		if p.eat('}') {
			return nil
		}
		if !p.eat(',') {
			return errSyntax
		}
	}
}

func (p *setReader) key() ([]byte, bool) {
	if !p.eat('"') {
		return nil, false
	}
	from := p.at
	for ; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			key := p.text[from : p.at-1 : p.at-1]
			return key, string(key) == "." || len(key) > 1 && key[1] == ':'
		}
	}
	return nil, false
}

func (n *node) empty() bool { return !n.member && len(n.kids) == 0 }

// find returns the kid with the key. Sets that are compared tend to have the same order, so the
// search begins where the last one ended.
func (n *node) find(key []byte, from int) int {
	for i := range n.kids {
		at := i + from
		if at >= len(n.kids) {
			at -= len(n.kids)
		}
		if bytes.Equal(n.kids[at].key, key) {
			return at
		}
	}
	return -1
}

// add puts the members of other into n and reports whether that changed n.
func (n *node) add(other *node) (changed bool) {
	if other.member && !n.member {
		n.member, changed = true, true
	}
	at := 0
	for i := range other.kids {
		kid := &other.kids[i]
		if found := n.find(kid.key, at); found >= 0 {
			at = found
			changed = n.kids[found].add(kid) || changed
			continue
		}
		n.insert(*kid)
		changed = true
	}
	return changed
}

// insert puts kid where the order wants it. The kid's own kids are shared from then on.
func (n *node) insert(kid node) {
	at := len(n.kids)
	for at > 0 && less(kid.key, n.kids[at-1].key) {
		at--
	}
	n.kids = append(n.kids, node{})
	copy(n.kids[at+1:], n.kids[at:])
	n.kids[at] = kid
}

// remove takes the members of other out of n and reports whether that changed n.
func (n *node) remove(other *node) (changed bool) {
	if other.member && n.member {
		n.member, changed = false, true
	}
	at, gone := 0, false
	for i := range other.kids {
		kid := &other.kids[i]
		found := n.find(kid.key, at)
		if found < 0 {
			continue
		}
		at = found
		if n.kids[found].remove(kid) {
			changed, gone = true, gone || n.kids[found].empty()
		}
	}
	if gone {
		kept := n.kids[:0]
		for _, kid := range n.kids {
			if !kid.empty() {
				kept = append(kept, kid)
			}
		}
		n.kids = kept
	}
	return changed
}

// append writes the set as it is stored.
func (n *node) append(buf []byte) []byte {
	buf = append(buf, '{')
	if n.member && len(n.kids) > 0 {
		buf = append(buf, self...)
	}
	for i := range n.kids {
		if buf[len(buf)-1] != '{' {
			buf = append(buf, ',')
		}
		buf = append(buf, '"')
		buf = append(buf, n.kids[i].key...)
		buf = append(buf, `":`...)
		buf = n.kids[i].append(buf)
	}
	return append(buf, '}')
}

// less is the order in which the library writes the steps below one path.
func less(a, b []byte) bool {
	plain := bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0
	if plain && len(a) > 1 && len(b) > 1 && a[0] == 'f' && b[0] == 'f' {
		return bytes.Compare(a, b) < 0
	}
	x, errX := element(a)
	y, errY := element(b)
	if errX != nil || errY != nil {
		return bytes.Compare(a, b) < 0
	}
	return x.Less(y)
}

func element(key []byte) (fieldpath.PathElement, error) {
	text, err := strconv.Unquote(`"` + string(key) + `"`)
	if err != nil {
		return fieldpath.PathElement{}, err
	}
	return fieldpath.DeserializePathElement(text)
}

// sameTop reports whether two stored sets may have members below the same first step.
// Most writes touch the spec or the status, and most managers own only one of them.
func sameTop(set []byte, other *node) bool {
	depth := 0
	for i := 0; i < len(set); i++ {
		switch set[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '"':
			from := i + 1
			for i++; i < len(set) && set[i] != '"'; i++ {
				if set[i] == '\\' {
					i++
				}
			}
			if depth == 1 && i < len(set) && other.find(set[from:i], 0) >= 0 {
				return true
			}
		}
	}
	return false
}
