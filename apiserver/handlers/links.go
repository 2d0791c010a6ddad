package handlers

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// errRedirect refuses an upgrade that the other side answered with a redirect.
var errRedirect = errors.New("the backend attempted to redirect this request, which is not permitted")

// links are rewritten in what comes back through a proxy: what lies at the root of the
// server behind it lies below prefix here.
type links struct {
	prefix string // encoded, without a slash at its end
	up     upstream
	host   string // by which the client knows us
}

// rewrite changes an answer's Location and the links of a page. It also drops the headers by
// which the server behind would let pages of others read the API server's answers.
func (l links) rewrite(response *http.Response, upgrade bool) error {
	for name := range response.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			response.Header.Del(name)
		}
	}
	if upgrade && response.StatusCode >= 300 && response.StatusCode < 400 {
		return errRedirect
	}
	if to := response.Header.Get("Location"); to != "" {
		response.Header.Set("Location", l.link(to))
	}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "text/html" || response.Header.Get("Content-Encoding") != "" {
		return nil
	}
	response.Header.Del("Content-Length")
	response.ContentLength = -1
	response.Body = newPage(response.Body, l)
	return nil
}

// link is what a link of the server behind has to be for the client: below the prefix if it
// names a place on that server by its whole path.
func (l links) link(text string) string {
	to, err := url.Parse(text)
	if err != nil || to.Opaque != "" || to.Host != "" && to.Host != l.up.host && to.Host != l.host || !strings.HasPrefix(to.EscapedPath(), "/") {
		return text
	}
	if path := to.EscapedPath(); path == l.prefix || strings.HasPrefix(path, l.prefix+"/") {
		return text // the server knows where it is seen
	}
	rest := to.EscapedPath()
	out := l.prefix + rest
	if to.RawQuery != "" || to.ForceQuery {
		out += "?" + to.RawQuery
	}
	if to.Fragment != "" {
		out += "#" + to.EscapedFragment()
	}
	return out
}

// linking are the attributes of HTML that hold a link.
var linking = map[string]bool{
	"action": true, "background": true, "cite": true, "codebase": true, "data": true, "formaction": true, "href": true,
	"icon": true, "longdesc": true, "manifest": true, "poster": true, "profile": true, "src": true, "usemap": true,
}

// maxToken bounds what is held of a page at once. What is longer passes as it is.
const maxToken = 1 << 20

// page reads HTML with its links rewritten. Everything else stays as it was sent.
type page struct {
	links  links
	source io.ReadCloser
	tokens *html.Tokenizer
	ready  bytes.Buffer
	plain  bool // the rest is passed on unread
}

func newPage(source io.ReadCloser, l links) *page {
	p := &page{links: l, source: source, tokens: html.NewTokenizer(source)}
	p.tokens.SetMaxBuf(maxToken)
	return p
}

// Read implements io.Reader.
func (p *page) Read(b []byte) (int, error) {
	for p.ready.Len() == 0 {
		if p.plain {
			return p.source.Read(b)
		}
		kind := p.tokens.Next()
		if kind == html.ErrorToken {
			err := p.tokens.Err()
			p.ready.Write(p.tokens.Raw())
			if errors.Is(err, html.ErrBufferExceeded) {
				p.ready.Write(p.tokens.Buffered())
				p.plain = true
				continue
			}
			if p.ready.Len() > 0 {
				break
			}
			return 0, err
		}
		p.token(kind)
	}
	return p.ready.Read(b)
}

// token adds one token to what is ready.
func (p *page) token(kind html.TokenType) {
	raw := bytes.Clone(p.tokens.Raw()) // reading the attributes overwrites it
	if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
		p.ready.Write(raw)
		return
	}
	tag, changed := p.tokens.Token(), false
	for i, a := range tag.Attr {
		if !linking[a.Key] {
			continue
		}
		if to := p.links.link(a.Val); to != a.Val {
			tag.Attr[i].Val, changed = to, true
		}
	}
	if changed {
		raw = []byte(tag.String())
	}
	p.ready.Write(raw)
}

// Close implements io.Closer.
func (p *page) Close() error { return p.source.Close() }
