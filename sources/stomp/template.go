package stomp

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
)

// template is a text with places for what a message says; nil for an empty one.
type template []piece

// piece is a text, or a header, or a part of the destination.
type piece struct {
	text, header string
	part, token  int // from 1; token 0: the whole part
}

func parseTemplate(text string) (template, error) {
	var t template
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}")
		p, ok := parsePiece(name)
		if !closed || !ok {
			return nil, fmt.Errorf(`got %q; want {name} of a header, or {2} or {2.3} of the destination`, text)
		}
		t, text = append(t, p), after
	}
	return t, nil
}

func parsePiece(name string) (piece, bool) {
	if name == "" || strings.ContainsAny(name, "{\r\n\x00") {
		return piece{}, false
	}
	if name[0] < '0' || name[0] > '9' {
		return piece{header: name}, true
	}
	part, token, inside := strings.Cut(name, ".")
	p := piece{}
	var err, tokenErr error
	p.part, err = strconv.Atoi(part)
	if inside {
		p.token, tokenErr = strconv.Atoi(token)
	}
	return p, err == nil && tokenErr == nil && p.part > 0 && (p.token > 0 || !inside)
}

// fill says what the text is for a message; "" for no template.
func (t template) fill(message *frame.Frame) (string, error) {
	var b strings.Builder
	for _, p := range t {
		text, err := p.fill(message)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p piece) fill(message *frame.Frame) (string, error) {
	switch {
	case p.part > 0:
		return p.place(message.Header.Get(frame.Destination))
	case p.header == "":
		return p.text, nil
	}
	value, ok := message.Header.Contains(p.header)
	if !ok {
		return "", fmt.Errorf("no header %q", p.header)
	}
	return value, nil
}

// place finds a part of a destination. It may be percent-encoded.
func (p piece) place(destination string) (string, error) {
	parts := strings.Split(strings.TrimPrefix(destination, "/"), "/")
	if p.part > len(parts) {
		return "", fmt.Errorf("destination %q of %d parts; want the one at %d", destination, len(parts), p.part)
	}
	found := parts[p.part-1]
	if p.token > 0 {
		tokens := strings.Split(found, ".")
		if p.token > len(tokens) {
			return "", fmt.Errorf("destination %q with %d tokens in part %d; want the one at %d", destination, len(tokens), p.part, p.token)
		}
		found = tokens[p.token-1]
	}
	decoded, err := url.PathUnescape(found)
	if err != nil {
		return "", fmt.Errorf("destination %q: %w; want %% only before two hexadecimal digits", destination, err)
	}
	return decoded, nil
}
