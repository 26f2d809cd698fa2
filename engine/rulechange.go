package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tocsin.internal/rules"
)

// ruleChange is what changes of the interactions at one place in the stream.
type ruleChange struct {
	put  []*rules.Program
	gone []string
}

const (
	// packFrom is from how many bytes on a change is packed.
	packFrom = 64 << 10
	// maxUnpacked bounds what a packed change may hold.
	maxUnpacked = 256 << 20
)

func putInteraction(p *rules.Program) control { return control{Op: opInteractionPut, Text: p.Text()} }

// controls are the control messages of the change: one, unless it does not fit
// into a message even when it is packed.
func (c ruleChange) controls(maxMessage int) []control {
	switch {
	case len(c.put)+len(c.gone) == 0:
		return nil
	case len(c.put)+len(c.gone) == 1:
		return c.apart()
	}
	whole := control{Op: opInteractions, Delete: c.gone}
	for _, p := range c.put {
		whole.Put = append(whole.Put, p.Text())
	}
	text := whole.encode()
	if len(text) > packFrom {
		whole = control{Op: opInteractions, Packed: pack(text)}
		text = whole.encode()
	}
	if len(text) > maxMessage-messageMargin {
		return c.apart()
	}
	return []control{whole}
}

// messageMargin is what a message needs beside its body.
const messageMargin = 4 << 10

// apart is the change one by one.
func (c ruleChange) apart() (out []control) {
	for _, p := range c.put {
		out = append(out, putInteraction(p))
	}
	for _, id := range c.gone {
		out = append(out, control{Op: opInteractionDelete, ID: id})
	}
	return out
}

func pack(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(text) //nolint:errcheck // a buffer takes everything
	w.Close()     //nolint:errcheck // a buffer takes everything
	return b.Bytes()
}

// interactions are the documents that the message puts, and the ids of those
// that go.
func (c *control) interactions() (put []json.RawMessage, gone []string, err error) {
	switch {
	case c.Op == opInteractionPut:
		return []json.RawMessage{c.Text}, nil, nil
	case c.Op == opInteractionDelete:
		return nil, []string{c.ID}, nil
	case len(c.Packed) == 0:
		return c.Put, c.Delete, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(c.Packed))
	if err != nil {
		return nil, nil, fmt.Errorf("control message: packed: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(text) > maxUnpacked {
		err = errors.New("too large")
	}
	var inside control
	if err == nil {
		err = json.Unmarshal(text, &inside)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control message: packed: %w", err)
	}
	return inside.Put, inside.Delete, nil
}

// compileAll compiles documents, all or none.
func compileAll(compile func(name string, text []byte) (*rules.Program, error), docs []json.RawMessage) ([]*rules.Program, error) {
	programs := make([]*rules.Program, 0, len(docs))
	for _, doc := range docs {
		p, err := compile("interaction", doc)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	return programs, nil
}
