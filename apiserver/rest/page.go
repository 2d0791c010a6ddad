package rest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// tokenVersion marks the tokens of this form; others are refused.
const tokenVersion = "meta.k8s.io/v1"

// anyRevision in a token means: go on in whatever the newest state is.
const anyRevision = -1

// pageAge is how long a list can be gone on with as it was. The history may well reach back
// further, but who counts on that will be surprised one day: as in Kubernetes, where
// compaction ends it after five minutes, it ends for certain.
const pageAge = 5 * time.Minute

// pageToken says where the next page of a list starts. Clients get it as an opaque
// string and must not care what is in it.
type pageToken struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"` // first key wanted, below the list's prefix
	Since    int64  `json:"t"`     // Unix time of the first page
	// Left is how many objects there are from Start on; 0 if that is not known.
	Left int64 `json:"left,omitempty"`
}

func (t pageToken) String() string {
	t.Version = tokenVersion
	raw, err := json.Marshal(t)
	if err != nil {
		panic(err) // two strings and a number
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func parsePageToken(text string) (pageToken, error) {
	t, err := func() (t pageToken, err error) {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return t, err
		}
		if err := json.Unmarshal(raw, &t); err != nil {
			return t, err
		}
		switch {
		case t.Version != tokenVersion:
			return t, fmt.Errorf("version %q is not known", t.Version)
		case t.Start == "":
			return t, errors.New("the start is missing")
		case t.Left < 0:
			return t, errors.New("less than nothing is left")
		case t.Revision != anyRevision && t.Revision <= 0:
			return t, errors.New("the revision is missing")
		}
		return t, nil
	}()
	if err != nil {
		return t, apierrors.NewBadRequest(fmt.Sprintf("continue key is not valid: %v", err))
	}
	return t, nil
}

// pageGone is the answer when the state that the earlier pages showed is no longer kept.
// The status carries a token for those who would rather go on in another state than
// start anew.
func pageGone(t pageToken) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
		"Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time " +
		"the first chunk was returned and now may show up in the list.")
	err.ErrStatus.ListMeta.Continue = pageToken{Revision: anyRevision, Start: t.Start}.String()
	return err
}
