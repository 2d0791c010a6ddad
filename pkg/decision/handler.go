package decision

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/miniorch/miniorch/pkg/api"
)

// RefTo names obj at its version.
func RefTo(obj api.Object) Ref {
	name := obj.GetObjectKind().GroupVersionKind().Kind
	if r, ok := api.ResourceOf(obj); ok {
		name = r.String()
	}
	return Ref{
		Resource: name, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}
}

// answer is what the handler sends.
type answer struct {
	Records []Record `json:"records"`
	Last    uint64   `json:"last"` // ask for what comes after it
}

// ServeHTTP answers a GET with the kept records as JSON, those after ?since=N only if it is
// given. A gap between N and the first record's Seq means that records were dropped.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	var since uint64
	if s := r.URL.Query().Get("since"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			http.Error(w, "since must be a sequence number", http.StatusBadRequest)
			return
		}
		since = n
	}
	out := answer{Records: l.Since(since), Last: since}
	if n := len(out.Records); n > 0 {
		out.Last = out.Records[n-1].Seq
	} else {
		out.Records = []Record{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // a client that went away
}
