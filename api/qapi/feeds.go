package qapi

import (
	"cmp"
	"net/http"
	"strconv"
	"unicode/utf8"

	"tocsin.internal/api/access"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// feedID is the id of a feed in any of its forms; it may have the twin's beside it.
type feedID struct{ id, twin string }

// DecodeStrict reads the id.
func (f *feedID) DecodeStrict(r strictjson.Raw) error {
	var err, wrong error
	f.id, err = decodeID(r)
	if n := utf8.RuneCountInString(f.id); n > maxFeedID {
		err = r.At.Errorf("id of %d characters; want at most %d", n, maxFeedID)
	}
	if twin := r.Member("twinId"); !twin.IsZero() && twin.Kind() != strictjson.Null {
		f.twin, wrong = decodeID(twin)
	}
	return strictjson.Join(err, wrong, inPath(r, f.id))
}

// feed is the one in the path.
func (s *Space) feed(r *http.Request, name string) (*twins.Twin, rules.Feed, error) {
	t, err := s.twin(r, name)
	if err != nil {
		return nil, rules.Feed{}, err
	}
	f, ok := t.Feed(r.PathValue("feed"))
	if !ok {
		return nil, f, noFeed(t, r.PathValue("feed"))
	}
	return t, f, nil
}

func noFeed(t *twins.Twin, id string) error {
	return notFound("no feed %q of twin %q%s", id, t.ID, strictjson.DidYouMean(id, ids(t.Feeds)))
}

func ids(feeds []rules.Feed) []string {
	out := make([]string, len(feeds))
	for i, f := range feeds {
		out[i] = f.ID
	}
	return out
}

// knowsFeed says whether this worker knows the feed in the path.
func (s *Space) knowsFeed(r *http.Request) bool {
	_, _, err := s.feed(r, "twin")
	return err == nil
}

func (s *Space) listFeeds(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	t, err := s.twin(r, "twin")
	if err != nil {
		return nil, err
	}
	b := []byte(`{"feeds":[`)
	for i := range t.Feeds {
		f := &t.Feeds[i]
		b = appendValueID(append(appendComma(b, i), `{"id":`...), f.ID)
		b = appendValueID(append(b, `,"twinId":`...), t.ID)
		b = s.appendFeedNames(append(b, ','), t.ID, f.ID)
		b = append(strconv.AppendBool(append(b, `,"storeLast":`...), f.StoreLast), '}')
	}
	b = append(b, `],"feedIds":[`...)
	for i := range t.Feeds {
		b = s.appendNew(appendComma(b, i), t.ID, t.Feeds[i].ID)
	}
	return append(b, `]}`...), nil
}

// createFeed leaves a feed that is there as it is: it may be sent again.
func (s *Space) createFeed(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	twin := r.PathValue("twin")
	if err := s.may(r, access.Control, twin); err != nil {
		return nil, err
	}
	var in struct {
		FeedID    *feedID `json:"feedId"`
		ID        *feedID `json:"id"` // as the newer clients call it
		Feed      *feedID `json:"feed"`
		StoreLast bool    `json:"storeLast"`
	}
	raw, err := decode(w, r, &in)
	if err != nil {
		return nil, err
	}
	id := cmp.Or(in.FeedID, in.ID, in.Feed)
	switch {
	case id == nil:
		return nil, raw.Missing("feedId")
	case id.twin != "" && id.twin != twin:
		return nil, wrongf("a feed of twin %q; want one of twin %q, as the path says", cut(id.twin), twin)
	}
	err = s.edit(r, twin, func(t twins.Twin) (twins.Twin, error) {
		if _, ok := t.Feed(id.id); ok {
			return t, nil
		}
		return t.WithFeed(rules.Feed{ID: id.id, StoreLast: in.StoreLast}), nil
	})
	return s.feedAnswer(twin, id.id), err
}

func (s *Space) describeFeed(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	t, f, err := s.feed(r, "twin")
	if err != nil {
		return nil, err
	}
	b := s.appendFeedNames([]byte{'{'}, t.ID, f.ID)
	b = appendValues(append(b, `,"result":{`...), f.Values)
	b = rules.AppendProperties(append(b, `,"properties":`...), f.Properties)
	b = strconv.AppendBool(append(b, `,"storeLast":`...), f.StoreLast)
	return append(b, `}}`...), nil
}

func (s *Space) updateFeed(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	twin, feed := r.PathValue("twin"), r.PathValue("feed")
	if err := s.may(r, access.Control, twin); err != nil {
		return nil, err
	}
	var u twins.FeedUpdate
	if _, err := decode(w, r, &u); err != nil {
		return nil, err
	}
	err := s.edit(r, twin, func(t twins.Twin) (twins.Twin, error) {
		f, ok := t.Feed(feed)
		if !ok {
			return t, noFeed(&t, feed)
		}
		return t.WithFeed(u.Apply(f)), nil
	})
	return s.feedAnswer(twin, feed), err
}

// deleteFeed is right also when there is no such feed: it may be sent again.
func (s *Space) deleteFeed(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	twin, feed := r.PathValue("twin"), r.PathValue("feed")
	if err := s.may(r, access.Control, twin); err != nil {
		return nil, err
	}
	err := s.edit(r, twin, func(t twins.Twin) (twins.Twin, error) { return t.WithoutFeed(feed), nil })
	return s.feedAnswer(twin, feed), err
}
