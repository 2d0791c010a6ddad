package endpointslice

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/miniorch/miniorch/pkg/api"
)

// maxOverload is by how much an endpoint may be more loaded than it would be if all zones shared all of them.
const maxOverload = 0.2

// shares is how much CPU the nodes of each zone have, in thousandths. It is never changed.
type shares struct {
	zones map[string]int64
	// strangers is how many nodes do not say in which zone they are, or how much CPU they have.
	strangers int
}

// capacity keeps the shares as nodes come, change and go.
type capacity struct {
	mu    sync.Mutex
	nodes map[string]place // guarded by mu: those that count
	now   shares           // guarded by mu
}

// place is what one node adds to a zone.
type place struct {
	zone string
	cpu  int64
}

func (p place) isStranger() bool { return p.zone == "" || p.cpu <= 0 }

// counts tells whether a node's CPU is what clients run on: it is ready and no control plane's.
func counts(n *corev1.Node) bool {
	_, controls := n.Labels["node-role.kubernetes.io/control-plane"]
	_, master := n.Labels["node-role.kubernetes.io/master"]
	return !controls && !master && api.IsNodeReady(n)
}

// set notes a node, nil if it is gone, and tells whether that changes the shares.
func (c *capacity) set(name string, n *corev1.Node) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, had := c.nodes[name]
	is, has := place{}, n != nil && counts(n)
	if has {
		is = place{zoneOf(n), n.Status.Allocatable.Cpu().MilliValue()}
	}
	if had == has && was == is {
		return false
	}
	next := shares{maps.Clone(c.now.zones), c.now.strangers}
	if next.zones == nil {
		next.zones = map[string]int64{}
	}
	if had {
		next.add(was, -1)
		delete(c.nodes, name)
	}
	if has {
		next.add(is, 1)
		c.nodes[name] = is
	}
	c.now = next
	return true
}

// add adds or takes away one node.
func (s *shares) add(p place, sign int64) {
	if p.isStranger() {
		s.strangers += int(sign)
		return
	}
	if s.zones[p.zone] += sign * p.cpu; s.zones[p.zone] == 0 {
		delete(s.zones, p.zone)
	}
}

func (c *capacity) shares() shares {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// followsTopology tells whether a Service wants each zone to have its share of the endpoints:
// https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/. It then says so instead of
// trafficDistribution.
func followsTopology(svc *corev1.Service) bool {
	mode, ok := svc.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	if !ok {
		mode = svc.Annotations[corev1.AnnotationTopologyMode]
	}
	return strings.EqualFold(mode, "auto")
}

// share means each ready endpoint of the group for a zone, as many for each as it has CPU. It returns why that
// cannot be; nothing is changed then.
func (g *group) share(s shares) error {
	var ready []*discoveryv1.Endpoint
	for i := range g.endpoints {
		if e := &g.endpoints[i]; *e.Conditions.Ready {
			if e.Zone == nil {
				return errors.New("one or more endpoints do not have a zone specified")
			}
			ready = append(ready, e)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	left, err := s.apportion(len(ready))
	if err != nil {
		return err
	}
	mean := func(e *discoveryv1.Endpoint, zone string) {
		left[zone]--
		e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
	}
	var over []*discoveryv1.Endpoint // their own zone has enough
	for _, e := range ready {
		if left[*e.Zone] > 0 {
			mean(e, *e.Zone)
		} else {
			over = append(over, e)
		}
	}
	for _, e := range over {
		neediest := ""
		for _, zone := range slices.Sorted(maps.Keys(left)) {
			if neediest == "" || left[zone] > left[neediest] {
				neediest = zone
			}
		}
		mean(e, neediest)
	}
	return nil
}

// apportion tells how many of n endpoints each zone gets: its share, rounded down, and one more for those
// that lost most by that. It returns why the shares make no sense, or are too unequal for so few.
func (s shares) apportion(n int) (map[string]int, error) {
	switch {
	case s.strangers > 0 || len(s.zones) == 0:
		return nil, errors.New("one or more nodes do not have allocatable CPU or zone information")
	case len(s.zones) < 2:
		return nil, errors.New("nodes are ready in one zone only")
	case n < len(s.zones):
		return nil, fmt.Errorf("insufficient number of endpoints (%d) to have one in each of %d zones", n, len(s.zones))
	}
	total := int64(0)
	for _, cpu := range s.zones {
		total += cpu
	}
	exact := func(zone string) float64 { return float64(n) * float64(s.zones[zone]) / float64(total) }
	zones := slices.Sorted(maps.Keys(s.zones))
	given, left := map[string]int{}, n
	for _, zone := range zones {
		given[zone] = int(math.Floor(exact(zone)))
		left -= given[zone]
	}
	slices.SortStableFunc(zones, func(a, b string) int {
		return cmp.Compare(exact(b)-float64(given[b]), exact(a)-float64(given[a]))
	})
	for _, zone := range zones[:left] {
		given[zone]++
	}
	for _, zone := range zones {
		if exact(zone) > float64(given[zone])*(1+maxOverload) {
			return nil, fmt.Errorf("the %d endpoints cannot be shared without overloading those of a zone by more than %d%%", n, int(maxOverload*100))
		}
	}
	return given, nil
}
