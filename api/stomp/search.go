package stomp

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/api/access"
)

// send does a search: nothing else can be sent.
func (c *conn) send(f *frame.Frame) error {
	to := f.Header.Get(frame.Destination)
	if to != dispatches || c.server.Space == nil {
		return refuse(invalid, "nothing can be sent to %.200q; samples and messages to inputs are shared over HTTP", to)
	}
	caller, err := c.who(f)
	if err != nil {
		return err
	}
	if err := c.server.Guard.May(c.ctx, caller, access.Read, ""); err != nil {
		return err
	}
	var subs []*subscription
	for _, sub := range c.subs {
		if sub.dest.form == resultsForm {
			subs = append(subs, sub)
		}
	}
	if len(subs) == 0 {
		return refuse(invalid, "a search without a subscription to %s", results)
	}
	limit, offset, err := page(f)
	if err != nil {
		return err
	}
	payload, err := c.server.Space.Found(c.ctx, bytes.NewReader(f.Body), limit, offset)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		if err := c.out.keep(c.ctx, item{sub: sub, frame: sub.result(payload, echoed(f))}); err != nil {
			return err
		}
	}
	return nil
}

// page reads what the headers of a search say.
func page(f *frame.Frame) (limit, offset int, err error) {
	numbers := map[string]*int{"limit": &limit, "offset": &offset}
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		name = strings.ToLower(name)
		if n := numbers[name]; n != nil {
			got, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return 0, 0, refuse(invalid, "%s: got %.60q; want a number", name, value)
			}
			*n = int(got)
		}
		if name == "scope" && value != "LOCAL" && value != "GLOBAL" {
			return 0, 0, refuse(invalid, "scope: got %.60q; want LOCAL or GLOBAL", value)
		}
		if strings.EqualFold(name, "Iotics-RequestTimeout") {
			if err := waits(value); err != nil {
				return 0, 0, err
			}
		}
	}
	return limit, offset, nil
}

// waits says whether a client still waits for what it has asked.
func waits(until string) error {
	at, err := time.Parse(time.RFC3339, until)
	switch {
	case err != nil:
		return refuse(invalid, "Iotics-RequestTimeout: got %.60q; want a time such as 2026-11-02T10:00:00Z", until)
	case time.Now().After(at):
		return refuse(deadline, "Iotics-RequestTimeout %.60q is over", until)
	}
	return nil
}

// result is the MESSAGE of an answer, with what the search's headers say that is
// repeated.
func (s *subscription) result(payload []byte, echo []string) []byte {
	b := append([]byte(nil), s.head...)
	b = appendHeader(b, s.version, frame.MessageId, newSession())
	for i := 0; i+1 < len(echo); i += 2 {
		b = appendHeader(b, s.version, echo[i], echo[i+1])
	}
	return appendBody(b, payload)
}
