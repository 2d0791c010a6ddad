package kv

import (
	"encoding/json"
	"net/http"
)

// maxRecord bounds what one request may store.
const maxRecord = 1 << 20

// NewHandler serves one replica's store: GET and PUT of /kv?key=KEY, with a Record as JSON.
func NewHandler(s *Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv", func(w http.ResponseWriter, r *http.Request) {
		record, err := s.Read(r.FormValue("key"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(record) // the client has gone
	})
	mux.HandleFunc("PUT /kv", func(w http.ResponseWriter, r *http.Request) {
		var record Record
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRecord)).Decode(&record); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := s.Write(r.FormValue("key"), record); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}
