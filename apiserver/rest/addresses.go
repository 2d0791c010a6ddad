package rest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/miniorch/miniorch/apiserver/rest/ipalloc"
	"github.com/miniorch/miniorch/apiserver/storage"
	"github.com/miniorch/miniorch/apiserver/storage/codec"
	"github.com/miniorch/miniorch/apiserver/storage/watchcache"
	"github.com/miniorch/miniorch/pkg/api"
)

// Every cluster IP and every node port that a Service has is a key of its own: an IPAddress
// object, or a claim of the port. They are written and deleted in the Service's own
// transaction, so they stand or fall with it, and no two servers can give one to two Services.
// What is free is looked up in caches; a cache that is behind costs a second try.

const (
	portRoot = "/registry/ranges/servicenodeports/"
	// The labels of IPAddress objects that belong to a Service.
	managedByLabel, managedByUs = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
	familyLabel, familyIPv4     = "ipaddress.kubernetes.io/ip-family", "IPv4"
	// addressAttempts is how often other addresses are tried when somebody was faster.
	addressAttempts = 256
)

var portResource = api.Resource{Version: "v1", Name: "rangeallocations", Kind: "RangeAllocation"}

// addresses gives Services their addresses.
type addresses struct {
	reg   *Registry
	ips   ledger
	ports ledger

	mu sync.Mutex
	// pending are chosen here and not yet seen in the cache: by key, with the revision at which
	// they will be, 0 while their write is under way. Guarded by mu.
	pending map[string]int64
}

// ledger knows who has which addresses of one sort, a moment late.
type ledger struct {
	root  string
	codec *codec.Codec
	cache *watchcache.Cache
	own   bool // the cache is nobody else's
}

func newAddresses(r *Registry) *addresses {
	a := &addresses{reg: r, pending: map[string]int64{}}
	ip := api.ResourceFor[*networkingv1.IPAddress]()
	if s, ok := r.stores[ip.GVR()]; ok {
		a.ips = ledger{root: s.root, codec: s.codec, cache: s.cache}
	} else {
		a.ips = r.newLedger("/registry/"+ip.Group+"/"+ip.Name+"/", ip)
	}
	a.ports = r.newLedger(portRoot, portResource)
	return a
}

func (r *Registry) newLedger(root string, of api.Resource) ledger {
	c := codec.New(of, r.cfg.Encryption)
	return ledger{root: root, codec: c, own: true, cache: watchcache.New(r.storage, watchcache.Config{
		Prefix: root, Decode: c.Decode, History: 64, Budget: r.cfg.EncodedBudget, Logger: r.cfg.Logger, Clock: r.cfg.Clock,
	})}
}

// of returns the ledger and the key of an address.
func (a *addresses) of(x ipalloc.Address) (ledger, string) {
	if x.Port != 0 {
		return a.ports, a.ports.root + fmt.Sprint(x.Port)
	}
	return a.ips, a.ips.root + x.IP.String()
}

// holder returns who has what an item of a ledger stands for.
func holder(obj api.Object) types.NamespacedName {
	switch o := obj.(type) {
	case *networkingv1.IPAddress:
		if p := o.Spec.ParentRef; p != nil && p.Group == "" && p.Resource == "services" {
			return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
		}
	case *corev1.RangeAllocation:
		namespace, name, _ := cutKey(o.Range)
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	return types.NamespacedName{}
}

func cutKey(text string) (namespace, name string, ok bool) {
	i := slices.Index([]byte(text), '/')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}

func nameOf(obj api.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// ranges are what may be given out now: the cluster's own CIDR, and those of ServiceCIDRs that
// are ready and not on their way out.
func (a *addresses) ranges() ipalloc.Ranges {
	r := ipalloc.Ranges{CIDRs: []netip.Prefix{a.reg.cfg.ServiceCIDR.Masked()}, Ports: a.reg.cfg.NodePorts}
	s, ok := a.reg.stores[api.ResourceFor[*networkingv1.ServiceCIDR]().GVR()]
	if !ok {
		return r
	}
	s.cache.Snapshot().Ascend(s.root, "", func(it *watchcache.Item) bool {
		c := it.Object.(*networkingv1.ServiceCIDR)
		if c.DeletionTimestamp != nil || !meta.IsStatusConditionTrue(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
			return true
		}
		for _, text := range c.Spec.CIDRs {
			p, err := netip.ParsePrefix(text)
			if err == nil && p.Addr().Is4() && !slices.Contains(r.CIDRs, p.Masked()) {
				r.CIDRs = append(r.CIDRs, p.Masked())
			}
		}
		return true
	})
	return r
}

// addressClaim is what one write of a Service takes and gives back.
type addressClaim struct {
	of       *addresses
	svc, old *corev1.Service
	asked    *corev1.Service // as it was before addresses were chosen
	claim    ipalloc.Claim
	lost     map[ipalloc.Address]bool // somebody else has them
	writes   []storage.Write
	changed  []ipalloc.Address // one for each of writes
	attempts int
}

// claimAddresses gives a Service its cluster IP and node ports before it is validated and
// written. Other kinds have none.
func (s *Store) claimAddresses(ctx context.Context, obj, old api.Object) (claim, error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	before, _ := old.(*corev1.Service)
	c := &addressClaim{of: s.reg.addresses, svc: svc, old: before, asked: svc.DeepCopy(), lost: map[ipalloc.Address]bool{}}
	if err := s.reg.addresses.waitReady(ctx); err != nil {
		return nil, err
	}
	errs, err := c.assign(ctx)
	if err == nil && full(errs) {
		if err = s.reg.addresses.catchUp(ctx); err == nil {
			putBack(c.svc, c.asked)
			errs, err = c.assign(ctx)
		}
	}
	if err != nil || len(errs) > 0 {
		c.Rollback()
		if err == nil {
			err = s.invalid(svc.Name, errs)
		}
		return nil, err
	}
	return c, nil
}

// full tells whether there was no address to choose.
func full(errs field.ErrorList) bool {
	return slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Type == field.ErrorTypeInternal })
}

// catchUp waits until the caches know everything that was given back by now.
func (a *addresses) catchUp(ctx context.Context) error {
	revision, err := a.reg.storage.Revision(ctx)
	if err != nil {
		return err
	}
	for _, l := range []ledger{a.ips, a.ports} {
		if err := l.cache.WaitFor(ctx, revision); err != nil {
			return err
		}
	}
	return nil
}

// waitReady: before the caches are filled nothing is known to be free.
func (a *addresses) waitReady(ctx context.Context) error {
	for _, l := range []ledger{a.ips, a.ports} {
		select {
		case <-l.cache.Ready():
		case <-ctx.Done():
			return contextError(ctx.Err(), "the addresses in use are not known yet")
		}
	}
	return nil
}

// assign fills in the addresses and works out what is to be written with the Service.
func (c *addressClaim) assign(ctx context.Context) (field.ErrorList, error) {
	a := c.of
	a.mu.Lock()
	a.forget()
	claim, errs := a.ranges().Assign(c.svc, c.old, c.taken, a.reg.cfg.Rand)
	if len(errs) == 0 {
		for _, x := range claim.Take {
			if _, key := a.of(x); !c.names(x) {
				a.pending[key] = 0
			}
		}
	}
	a.mu.Unlock()
	if len(errs) > 0 {
		return errs, nil
	}
	c.claim = claim
	return c.prepare(ctx)
}

// names tells whether the client asked for this very address.
func (c *addressClaim) names(x ipalloc.Address) bool {
	return slices.Contains(ipalloc.Addresses(c.asked), x)
}

// taken is for choosing: what the caches know, and what is being written here. The caller
// holds mu.
func (c *addressClaim) taken(x ipalloc.Address) bool {
	l, key := c.of.of(x)
	if _, busy := c.of.pending[key]; busy || c.lost[x] {
		return true
	}
	_, has := l.cache.Get(key)
	return has
}

// forget drops what the caches have seen meanwhile. The caller holds mu.
func (a *addresses) forget() {
	for key, revision := range a.pending {
		l := a.ips
		if len(key) > len(portRoot) && key[:len(portRoot)] == portRoot {
			l = a.ports
		}
		if revision != 0 && l.cache.Revision() >= revision {
			delete(a.pending, key)
		}
	}
}

// prepare turns the claim into writes. What a Service names is looked up in the store, so that it
// is neither refused nor promised because of a cache that is behind.
func (c *addressClaim) prepare(ctx context.Context) (field.ErrorList, error) {
	c.writes, c.changed = nil, nil
	var errs field.ErrorList
	for _, x := range c.claim.Take {
		l, key := c.of.of(x)
		expect := int64(0)
		if c.names(x) {
			it, err := c.of.look(ctx, l, key)
			if err != nil {
				return nil, err
			}
			switch {
			case it == nil:
			case holder(it.Object) == nameOf(c.svc):
				expect = it.Revision // left over, or put right by a repair
			default:
				path, value := ipalloc.Where(c.svc, x)
				errs = append(errs, field.Invalid(path, value, takenText(x)))
				continue
			}
		}
		value, err := c.of.encode(l, key, x, c.svc)
		if err != nil {
			return nil, err
		}
		c.add(x, storage.Write{Key: key, Value: value, Expect: expect})
	}
	return errs, c.drop(ctx)
}

func takenText(x ipalloc.Address) string {
	if x.Port != 0 {
		return "provided port is already allocated"
	}
	return fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", x.IP)
}

// drop adds the deletions of what the Service gives back, as far as it has it.
func (c *addressClaim) drop(ctx context.Context) error {
	for _, x := range c.claim.Drop {
		l, key := c.of.of(x)
		it, has := l.cache.Get(key)
		if !has || c.lost[x] || holder(it.Object) != nameOf(c.old) { // the cache may be behind
			var err error
			if it, err = c.of.look(ctx, l, key); err != nil {
				return err
			}
		}
		if it != nil && holder(it.Object) == nameOf(c.old) {
			c.add(x, storage.Write{Key: key, Expect: it.Revision})
		}
	}
	return nil
}

func (c *addressClaim) add(x ipalloc.Address, w storage.Write) {
	c.writes, c.changed = append(c.writes, w), append(c.changed, x)
}

// look reads an address from the store.
func (a *addresses) look(ctx context.Context, l ledger, key string) (*watchcache.Item, error) {
	kv, _, err := a.reg.storage.Get(ctx, key)
	if err != nil || kv == nil {
		return nil, err
	}
	obj, err := l.codec.Decode(key, kv.Value, kv.Revision)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", key, err)
	}
	return watchcache.NewItem(key, obj, kv.Revision), nil
}

// encode makes what is stored for an address that a Service has.
func (a *addresses) encode(l ledger, key string, x ipalloc.Address, svc *corev1.Service) ([]byte, error) {
	if x.Port != 0 {
		return l.codec.Encode(key, &corev1.RangeAllocation{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(x.Port)}, Range: svc.Namespace + "/" + svc.Name,
		})
	}
	address := &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{
			Name: x.IP.String(), CreationTimestamp: metav1.NewTime(a.reg.cfg.Clock.Now()).Rfc3339Copy(), Generation: 1,
			Labels: map[string]string{managedByLabel: managedByUs, familyLabel: familyIPv4},
		},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: svc.Namespace, Name: svc.Name,
		}},
	}
	address.UID = a.reg.cfg.UID(api.ResourceFor[*networkingv1.IPAddress]().GroupResource(), address)
	return l.codec.Encode(key, address)
}

// Writes implements claim.
func (c *addressClaim) Writes() []storage.Write { return c.writes }

// Again implements claim: other addresses for those that somebody was faster to take.
func (c *addressClaim) Again(ctx context.Context, now []*storage.KV) error {
	for i, w := range c.writes {
		if is := now[i]; (is == nil) != (w.Expect == 0) || is != nil && is.Revision != w.Expect {
			c.lost[c.changed[i]] = true
		}
	}
	if c.attempts++; c.attempts == addressAttempts {
		return fmt.Errorf("no address could be had in %d attempts", c.attempts)
	}
	c.Rollback()
	if c.svc == nil { // only gives back
		c.writes, c.changed = nil, nil
		return c.drop(ctx)
	}
	putBack(c.svc, c.asked)
	errs, err := c.assign(ctx)
	if err == nil && len(errs) > 0 {
		store := c.of.reg.stores[corev1.SchemeGroupVersion.WithResource("services")]
		err = store.invalid(c.svc.Name, errs)
	}
	return err
}

// putBack undoes what was chosen for a Service.
func putBack(svc, asked *corev1.Service) {
	svc.Spec.ClusterIP, svc.Spec.ClusterIPs = asked.Spec.ClusterIP, slices.Clone(asked.Spec.ClusterIPs)
	svc.Spec.HealthCheckNodePort = asked.Spec.HealthCheckNodePort
	for i := range svc.Spec.Ports {
		svc.Spec.Ports[i].NodePort = asked.Spec.Ports[i].NodePort
	}
}

// Commit implements claim.
func (c *addressClaim) Commit(revision int64) { c.settle(revision) }

// Rollback implements claim.
func (c *addressClaim) Rollback() { c.settle(0) }

// settle notes when the caches will know what was taken, or that it was not.
func (c *addressClaim) settle(revision int64) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	for _, x := range c.claim.Take {
		_, key := c.of.of(x)
		if at, busy := c.of.pending[key]; !busy || at != 0 || c.names(x) {
			continue // seen, settled, or another's choice
		}
		if revision == 0 {
			delete(c.of.pending, key)
		} else {
			c.of.pending[key] = revision
		}
	}
}

// giveBack is the claim of a Service's deletion; nil if it has nothing, as other kinds.
func (s *Store) giveBack(ctx context.Context, obj api.Object) (claim, error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	c := &addressClaim{of: s.reg.addresses, old: svc, claim: ipalloc.Claim{Drop: ipalloc.Addresses(svc)}, lost: map[ipalloc.Address]bool{}}
	return c, c.drop(ctx)
}
