package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/rules/scan"
)

// Envelope is what an envelope carries.
type Envelope struct {
	Data []byte    // decoded; not known to be JSON. Valid until the next Open
	At   time.Time // in UTC; zero when the envelope has none
}

// Reader opens envelopes. It belongs to one worker.
type Reader struct {
	scanner *scan.Scanner
	text    []byte // a text without its escapes
	data    []byte
}

// NewReader gives a worker its reader.
func NewReader() *Reader { return &Reader{scanner: plan.NewScanner()} }

// form is one of the three envelopes, with the slots of its parts.
type form struct {
	name                          string // of the member that carries the sample
	carried, data, mime, occurred int
}

var forms, plan = build()

func build() ([]form, *scan.Plan) {
	var b scan.Builder
	var out []form
	for _, name := range []string{"feedData", "sample", "message"} {
		out = append(out, form{name, b.Slot(name), b.Slot(name, "data"), b.Slot(name, "mime"), b.Slot(name, "occurredAt")})
	}
	return out, b.Build()
}

var errSyntax = errors.New("envelope: not JSON")

// Open reads an envelope of any form. Its data is base64 as RFC 4648 has it,
// padded and without line breaks. The media type must be JSON's, with or without
// parameters, or be absent or empty. The time is as RFC 3339 has it, or absent.
// A null is as good as absent.
func (r *Reader) Open(message []byte) (Envelope, error) {
	if !r.scanner.Scan(message) {
		return Envelope{}, errSyntax
	}
	slots := r.scanner.Slots()
	f, err := which(slots)
	if err != nil {
		return Envelope{}, err
	}
	if err := r.checkMime(message, f, &slots[f.mime]); err != nil {
		return Envelope{}, err
	}
	at, err := r.time(message, f, &slots[f.occurred])
	if err != nil {
		return Envelope{}, err
	}
	data, err := r.decode(message, f, &slots[f.data])
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{Data: data, At: at}, nil
}

// which gives the form of the envelope.
func which(slots []scan.Value) (*form, error) {
	var found *form
	for i := range forms {
		f := &forms[i]
		switch kind := slots[f.carried].Kind; {
		case kind <= scan.Null:
		case kind != scan.Object:
			return nil, fmt.Errorf("envelope: %s is not an object", f.name)
		case found != nil:
			return nil, fmt.Errorf("envelope: both %s and %s; want one", found.name, f.name)
		default:
			found = f
		}
	}
	if found == nil {
		return nil, errors.New("envelope: no feedData, sample or message in it")
	}
	return found, nil
}

// unquoted is the text of a slot. It is valid until the next call.
func (r *Reader) unquoted(message []byte, v *scan.Value) []byte {
	token := message[v.Start:v.End]
	if !v.Escaped {
		return token[1 : len(token)-1]
	}
	r.text = scan.AppendText(r.text[:0], token)
	return r.text
}

func (r *Reader) checkMime(message []byte, f *form, v *scan.Value) error {
	if v.Kind <= scan.Null {
		return nil
	}
	if v.Kind != scan.Text {
		return fmt.Errorf("envelope: %s.mime is not a text", f.name)
	}
	written := r.unquoted(message, v)
	if string(written) == mime || len(written) == 0 {
		return nil
	}
	name, _, _ := bytes.Cut(written, []byte(";"))
	if !bytes.EqualFold(bytes.TrimSpace(name), []byte(mime)) {
		return fmt.Errorf("envelope: %s.mime is %s; want %s", f.name, shown(written), mime)
	}
	return nil
}

func (r *Reader) time(message []byte, f *form, v *scan.Value) (time.Time, error) {
	if v.Kind <= scan.Null {
		return time.Time{}, nil
	}
	if v.Kind != scan.Text {
		return time.Time{}, fmt.Errorf("envelope: %s.occurredAt is not a text", f.name)
	}
	written := r.unquoted(message, v)
	at, ok := parseTime(written)
	if !ok {
		return time.Time{}, fmt.Errorf("envelope: %s.occurredAt is %s; want a time such as 2026-11-22T10:00:00Z", f.name, shown(written))
	}
	return at, nil
}

func (r *Reader) decode(message []byte, f *form, v *scan.Value) ([]byte, error) {
	if v.Kind <= scan.Null {
		return nil, fmt.Errorf("envelope: no %s.data", f.name)
	}
	if v.Kind != scan.Text {
		return nil, fmt.Errorf("envelope: %s.data is not a text", f.name)
	}
	written := r.unquoted(message, v)
	data, ok := appendDecoded(r.data[:0], written)
	if !ok {
		return nil, fmt.Errorf("envelope: %s.data is not base64: %s", f.name, shown(written))
	}
	r.data = data
	return data, nil
}

// shown is a text for a message, cut when it is long.
func shown(text []byte) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
