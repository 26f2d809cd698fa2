package space

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Where a search looks.
const (
	Local  = "LOCAL"
	Global = "GLOBAL"
)

const (
	// page is how many twins are asked for at once.
	page = 500
	// mostPages bounds a search.
	mostPages = 2000
	// mostNamed bounds the bytes of all that a search finds.
	mostNamed = 64 << 20
	// searchTime is how long a host may keep a search open.
	searchTime = 10 * time.Second
	// timedOut is the code with which hosts end a search that they keep open.
	timedOut = 4
)

// Found is a twin that a search has found.
type Found struct {
	Twin  string
	Host  string // "" where the answer does not say
	Feeds []string
}

// errMuch is the error of a search that finds more than there is room for.
var errMuch = fmt.Errorf("the names of what was found have more than %d MiB; want a filter that finds less", mostNamed>>20)

func (f *Found) size() int {
	n := len(f.Twin) + len(f.Host)
	for _, feed := range f.Feeds {
		n += len(feed)
	}
	return n
}

// Search finds twins by a filter, in JSON as the API has it. No twin is there
// twice.
func (c *Client) Search(ctx context.Context, filter []byte, scope string) ([]Found, error) {
	body := append(append([]byte(`{"responseType":"FULL","filter":`), filter...), '}')
	var all []Found
	seen := map[[2]string]bool{}
	offset := 0 // of each host's twins
	named := 0
	for range mostPages {
		found, err := c.searchPage(ctx, body, scope, offset)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		more := false
		hosts := map[string]int{}
		for _, f := range found {
			hosts[f.Host]++
			if id := [2]string{f.Host, f.Twin}; !seen[id] {
				seen[id], more = true, true
				all = append(all, f)
				named += f.size()
			}
		}
		if named > mostNamed {
			return nil, fmt.Errorf("search: %w", errMuch)
		}
		if !more {
			break
		}
		offset += slices.Max(slices.Collect(maps.Values(hosts)))
	}
	return all, nil
}

// searchPage asks for a page. The host may keep the answer open until the time
// that it is told, and then end it with an error.
func (c *Client) searchPage(ctx context.Context, body []byte, scope string, offset int) ([]Found, error) {
	path := "/qapi/searches?" + url.Values{"scope": {scope}, "limit": {strconv.Itoa(page)}, "offset": {strconv.Itoa(offset)}}.Encode()
	patience := min(searchTime, c.config.Timeout)
	ctx, cancel := context.WithTimeout(ctx, patience+c.config.Timeout)
	defer cancel()
	for first := true; ; first = false {
		token, _, err := c.Token(ctx)
		if err != nil {
			return nil, err
		}
		header := http.Header{"Iotics-Requesttimeout": {c.now().UTC().Add(patience).Format(time.RFC3339Nano)}}
		found, err := c.searchOnce(ctx, path, body, token, header, scope == Local)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusUnauthorized || !first || token == "" {
			return found, err
		}
		c.Renew(token)
	}
}

func (c *Client) searchOnce(ctx context.Context, path string, body []byte, token string, header http.Header, one bool) ([]Found, error) {
	resp, err := c.send(ctx, http.MethodPost, path, body, token, header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode/100 != 2 {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return nil, errors.Join(c.verdict(resp, answer), err)
	}
	return readFound(resp.Body, one)
}

// readFound reads the lines of a search's answer, or only the first that has
// twins: the one that a local search has. A host that ends it because of the time
// has said all that it found.
func readFound(r io.Reader, one bool) ([]Found, error) {
	var all []Found
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxAnswer)
	told := false
	named := 0
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		found, payload, err := parseFound(lines.Bytes())
		if e, ok := errors.AsType[*Error](err); ok && e.Code == timedOut {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all, told = append(all, found...), told || payload
		for i := range found {
			named += found[i].size()
		}
		if named > mostNamed {
			return nil, errMuch
		}
		if one && payload {
			return all, nil
		}
	}
	if err := lines.Err(); err != nil && !told {
		return nil, err
	}
	return all, nil
}

type foundTwin struct {
	ID    id `json:"id"`
	Twin  id `json:"twinId"`
	Feeds []struct {
		Old feedID `json:"feed"`
		New feedID `json:"feedId"`
	} `json:"feeds"`
}

type foundPayload struct {
	Host  id           `json:"hostId"`
	Old   id           `json:"remoteHostId"`
	Twins *[]foundTwin `json:"twins"`
}

// parseFound reads a line: {"result":{"payload":{…}}}, {"payload":{…}}, the
// payload itself, or {"error":{…}}. payload says whether it has twins, be it none.
func parseFound(line []byte) (found []Found, payload bool, err error) {
	var in struct {
		foundPayload
		Payload *foundPayload `json:"payload"`
		Result  *struct {
			foundPayload
			Payload *foundPayload `json:"payload"`
		} `json:"result"`
		Error *struct {
			Code    int    `json:"code"`
			Old     int    `json:"grpc_code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return nil, false, fmt.Errorf("a line of the answer: %w", err)
	}
	if e := in.Error; e != nil {
		return nil, false, &Error{Status: http.StatusOK, Code: max(e.Code, e.Old), Message: short(e.Message)}
	}
	p := &in.foundPayload
	switch {
	case in.Payload != nil:
		p = in.Payload
	case in.Result != nil && in.Result.Payload != nil:
		p = in.Result.Payload
	case in.Result != nil:
		p = &in.Result.foundPayload
	}
	if p.Twins == nil {
		return nil, false, nil
	}
	for _, t := range *p.Twins {
		f := Found{Twin: first(t.ID.ID, t.Twin.ID), Host: first(t.Twin.Host, t.ID.Host, p.Host.ID, p.Old.ID)}
		for _, feed := range t.Feeds {
			if id := first(feed.New.ID, feed.Old.ID); id != "" {
				f.Feeds = append(f.Feeds, id)
			}
		}
		if f.Twin != "" {
			found = append(found, f)
		}
	}
	return found, true, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// HostID is how the host calls itself; "" when it does not say.
func (c *Client) HostID(ctx context.Context) (string, error) {
	body, err := c.do(ctx, http.MethodGet, "/qapi/host/id", nil, nil)
	if err != nil {
		return "", err
	}
	var in struct {
		Host id `json:"hostId"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return "", fmt.Errorf("host/id: %w", err)
	}
	return in.Host.ID, nil
}

// LastSample is the newest sample of a feed, as a follower gets it:
// {"interest","feedData"}. nil: the host keeps none.
func (c *Client) LastSample(ctx context.Context, follower string, f Feed) ([]byte, error) {
	body, err := c.do(ctx, http.MethodGet, "/qapi/twins/"+url.PathEscape(follower)+"/interests"+f.path(url.PathEscape)+"/samples/last", nil, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Status/100 == 4 && e.Status != http.StatusUnauthorized && e.Status != http.StatusTooManyRequests {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("samples/last: %w", err)
	}
	return unwrapLast(body)
}

// unwrapLast finds the sample in an answer, which may be in a payload, or in a
// result.
func unwrapLast(body []byte) ([]byte, error) {
	for range 3 {
		var in struct {
			Data    json.RawMessage `json:"feedData"`
			Payload json.RawMessage `json:"payload"`
			Result  json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fmt.Errorf("samples/last: %w", err)
		}
		switch {
		case !isNull(in.Data):
			return body, nil
		case !isNull(in.Payload):
			body = in.Payload
		case !isNull(in.Result):
			body = in.Result
		default:
			return nil, nil
		}
	}
	return nil, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// Share shares a sample, {"sample":{…}}, on a feed of a twin. The host that knows
// the reference may take the second of two for the same.
func (c *Client) Share(ctx context.Context, twin, feed string, sample []byte, reference string) error {
	_, err := c.do(ctx, http.MethodPost, twinPath(twin)+"/feeds/"+url.PathEscape(feed)+"/shares", sample,
		http.Header{"Iotics-Transactionref": {reference}, "Idempotency-Key": {reference}})
	return err
}

// Create makes a twin; one that is there stays as it is.
func (c *Client) Create(ctx context.Context, twin string) error {
	body, err := json.Marshal(map[string]any{"twinId": map[string]string{"id": twin, "value": twin}})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, "/qapi/twins", body, nil)
	return ignoring(err, http.StatusConflict)
}

// Upsert puts a twin in full, as an upsert body says.
func (c *Client) Upsert(ctx context.Context, body []byte) error {
	_, err := c.do(ctx, http.MethodPut, "/qapi/twins", body, nil)
	return err
}

// Exists says whether there is a twin.
func (c *Client) Exists(ctx context.Context, twin string) (bool, error) {
	_, err := c.do(ctx, http.MethodGet, twinPath(twin), nil, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// UpdateTwin changes a twin as a PATCH body says.
func (c *Client) UpdateTwin(ctx context.Context, twin string, body []byte) error {
	_, err := c.do(ctx, http.MethodPatch, twinPath(twin), body, nil)
	return err
}

// CreateFeed makes a feed of a twin; one that is there stays as it is.
func (c *Client) CreateFeed(ctx context.Context, twin, feed string) error {
	body, err := json.Marshal(map[string]any{"feedId": map[string]string{"id": feed, "value": feed}})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, twinPath(twin)+"/feeds", body, nil)
	return ignoring(err, http.StatusConflict)
}

// UpdateFeed changes a feed as a PATCH body says.
func (c *Client) UpdateFeed(ctx context.Context, twin, feed string, body []byte) error {
	_, err := c.do(ctx, http.MethodPatch, twinPath(twin)+"/feeds/"+url.PathEscape(feed), body, nil)
	return err
}

func twinPath(twin string) string { return "/qapi/twins/" + url.PathEscape(twin) }

func ignoring(err error, status int) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Status == status {
		return nil
	}
	return err
}
