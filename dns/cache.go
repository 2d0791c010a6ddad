package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of the cache: answers are kept at most maxTTL, however long the owner of the
// name allows, and the least recently used are dropped beyond maxEntries.
const (
	maxEntries = 4096
	maxTTL     = 30 * time.Second
)

type question struct {
	name  string
	qtype uint16
}

type cached struct {
	question question
	reply    *dns.Msg // immutable
	stored   time.Time
	expires  time.Time
}

// cache keeps upstream answers. Safe for concurrent use.
type cache struct {
	mu      sync.Mutex
	entries map[question]*list.Element // guarded by mu; of *cached
	recent  *list.List                 // guarded by mu; most recently used first
}

func newCache() *cache {
	return &cache{entries: map[question]*list.Element{}, recent: list.New()}
}

// get returns a copy of the answer, its TTLs lowered by the time it has been here.
func (c *cache) get(q question, now time.Time) (*dns.Msg, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[q]
	if !ok {
		return nil, false
	}
	entry := element.Value.(*cached)
	if !now.Before(entry.expires) {
		c.remove(element)
		return nil, false
	}
	c.recent.MoveToFront(element)
	reply := entry.reply.Copy()
	age := uint32(now.Sub(entry.stored) / time.Second)
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return reply, true
}

// put keeps an answer for as long as its records allow. Failures are not kept.
func (c *cache) put(q question, reply *dns.Msg, now time.Time) {
	keep := lifetime(reply)
	if keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[q]; ok {
		c.remove(element)
	}
	c.entries[q] = c.recent.PushFront(&cached{question: q, reply: reply.Copy(), stored: now, expires: now.Add(keep)})
	if c.recent.Len() > maxEntries {
		c.remove(c.recent.Back())
	}
}

func (c *cache) remove(element *list.Element) {
	delete(c.entries, element.Value.(*cached).question)
	c.recent.Remove(element)
}

// lifetime is the shortest TTL of the answer's records; for a negative answer that of the
// SOA record, after RFC 2308.
func lifetime(reply *dns.Msg) time.Duration {
	if reply.Truncated || (reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError) {
		return 0
	}
	shortest := uint32(maxTTL / time.Second)
	records := reply.Answer
	if len(records) == 0 {
		records = nil
		for _, rr := range reply.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				shortest = min(shortest, soa.Minttl)
				records = append(records, rr)
			}
		}
		if len(records) == 0 {
			return 0
		}
	}
	for _, rr := range records {
		shortest = min(shortest, rr.Header().Ttl)
	}
	return time.Duration(shortest) * time.Second
}
