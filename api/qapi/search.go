package qapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// The types of an answer: how much it says of each twin.
const (
	full    = "FULL"    // everything
	located = "LOCATED" // id and location
	minimal = "MINIMAL" // id
)

var responseTypes = []string{full, located, minimal}

// scopes are where a search looks. There is one host, so both are the same.
var scopes = []string{"LOCAL", "GLOBAL"}

// page reads limit and offset.
func page(r *http.Request) (q twins.Query, err error) {
	if q.Limit, err = number(r, "limit"); err == nil {
		q.Offset, err = number(r, "offset")
	}
	return q, err
}

// searchBody is what is looked for.
type searchBody struct {
	filter   *filter
	response responseType
}

// DecodeStrict reads {"filter","responseType"}, each of which may be absent.
func (b *searchBody) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		Filter   *filter        `json:"filter"`
		Response responseType   `json:"responseType"`
		Expiry   strictjson.Raw `json:"expiryTimeout"` // the header says it
	}
	in.Response = full
	err := r.Decode(&in)
	*b = searchBody{in.Filter, in.Response}
	return err
}

// filter is that of an interaction's source, and a condition in JSONLogic.
type filter struct {
	rules.Filter
	where *twins.Where
}

// DecodeStrict reads {"properties","text","location","jsonLogic"}.
func (f *filter) DecodeStrict(r strictjson.Raw) error {
	err := f.Filter.DecodeStrict(r)
	where := r.Member("jsonLogic")
	if where.IsZero() {
		return err
	}
	others, _ := errors.AsType[strictjson.Errors](err)
	others = slices.DeleteFunc(others, func(e *strictjson.Error) bool {
		return e.Code == strictjson.UnknownField && e.Pointer == "/filter/jsonLogic"
	})
	if where.Kind() == strictjson.Null {
		return strictjson.Join(others)
	}
	f.where = new(twins.Where)
	return strictjson.Join(others, f.where.DecodeStrict(where))
}

type responseType string

// DecodeStrict reads the type; null is as good as absent.
func (t *responseType) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() == strictjson.Null {
		return nil
	}
	if !slices.Contains(responseTypes, r.Str()) {
		return r.Wrong(strictjson.String, "FULL, LOCATED or MINIMAL")
	}
	*t = responseType(r.Str())
	return nil
}

// search answers with one line that holds the page, and ends: clients take the
// first line that has twins.
func (s *Space) search(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	q, err := page(r)
	if err != nil {
		return nil, err
	}
	if err := checkScope(r.URL.Query().Get("scope")); err != nil {
		return nil, err
	}
	raw, err := document(r)
	if err != nil {
		return nil, err
	}
	payload, warnings, err := s.found(r.Context(), raw, q)
	warn(w, warnings)
	if err != nil {
		return nil, err
	}
	b := appendHeaders([]byte(`{"result":{"headers":`), r.Header)
	b = append(append(b, `,"payload":`...), payload...)
	return append(b, `}}`...), nil
}

// checkScope wants a scope that there is, or none.
func checkScope(scope string) error {
	if scope == "" || slices.Contains(scopes, scope) {
		return nil
	}
	return wrongf("scope: got %q; want LOCAL or GLOBAL", cut(scope))
}

// Found is the payload of a search's answer:
// {"responseType","hostId","status","twins"}. The body is
// {"filter":{"properties","text","location","jsonLogic"},"responseType"}.
func (s *Space) Found(ctx context.Context, body io.Reader, limit, offset int) ([]byte, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("the search cannot be read: %w", err)
	}
	raw, err := strictjson.Parse("body", text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	payload, _, err := s.found(ctx, raw, twins.Query{Limit: limit, Offset: offset})
	return payload, err
}

func (s *Space) found(ctx context.Context, raw strictjson.Raw, q twins.Query) ([]byte, strictjson.Errors, error) {
	var in searchBody
	warnings, err := tolerate(raw, raw.Decode(&in))
	if err != nil {
		return nil, warnings, err
	}
	found, err := s.matching(ctx, in.filter, q)
	if err != nil {
		return nil, warnings, err
	}
	b := rules.AppendText([]byte(`{"responseType":`), string(in.response))
	b = rules.AppendText(append(b, `,"hostId":`...), s.Host)
	b = s.appendTwins(append(b, ','), found, string(in.response))
	return append(b, '}'), warnings, nil
}

// matching is the page of the twins that a filter, which may be nil, asks for.
func (s *Space) matching(ctx context.Context, f *filter, q twins.Query) ([]*twins.Twin, error) {
	if f == nil {
		return s.Engine.Search(q), nil
	}
	q.Filter = f.Filter
	if f.where == nil {
		return s.Engine.Search(q), nil
	}
	return s.Engine.SearchWhere(ctx, q, f.where)
}

// appendTwins appends a member "twins".
func (s *Space) appendTwins(b []byte, found []*twins.Twin, response string) []byte {
	b = append(b, `"twins":[`...)
	for i, t := range found {
		b = s.appendDetails(appendComma(b, i), t, response)
	}
	return append(b, ']')
}

// appendHeaders appends what a client has said of its request.
func appendHeaders(b []byte, h http.Header) []byte {
	b = append(b, '{')
	n := 0
	for _, name := range [][2]string{{"clientRef", "Iotics-ClientRef"}, {"clientAppId", "Iotics-ClientAppId"}} {
		if v := h.Get(name[1]); v != "" {
			b = append(rules.AppendText(appendComma(b, n), name[0]), ':')
			b = rules.AppendText(b, v)
			n++
		}
	}
	b = append(appendComma(b, n), `"transactionRef":[`...)
	i := 0
	for _, list := range h.Values("Iotics-TransactionRef") {
		for ref := range strings.SplitSeq(list, ",") { // clients send the list as one header
			b = rules.AppendText(appendComma(b, i), strings.TrimSpace(ref))
			i++
		}
	}
	return append(b, `]}`...)
}
