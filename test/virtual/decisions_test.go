package virtual

import (
	"strings"
	"time"
)

// checkDecisions fails the test for records that say nothing or cannot be.
func (c *cluster) checkDecisions() {
	records := c.decisions.Since(0)
	if len(records) == 0 {
		c.t.Error("nothing was decided")
	}
	seq := uint64(0)
	for _, r := range records {
		bad := func(why string) { c.t.Errorf("decision %d %s: %+v", r.Seq, why, r) }
		seq++
		switch {
		case r.Seq != seq:
			bad("is out of order")
		case r.Component == "" || r.Object.Resource == "" || r.Object.Name == "":
			bad("is about nothing")
		case strings.TrimSpace(r.Plan) == "" || strings.Contains(r.Plan, "%!") || strings.Contains(r.Plan, "0x"):
			bad("has a plan that cannot be read")
		case (r.Object.UID == "") != (r.Object.ResourceVersion == ""): // what is gone has neither
			bad("does not say from which version")
		case r.Took < 0 || r.Time.Before(c.began) || r.Time.Add(r.Took).After(time.Now()):
			bad("is at an impossible time")
		}
	}
}
