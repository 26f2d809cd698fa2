package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// template is the form of the subjects at which anybody may put samples.
type template struct {
	tokens     []string // "*" for twin and feed
	twin, feed int      // their positions
}

// ours are the tokens that begin the engine's own subjects, after the prefix.
var ours = []string{"feed", "out", "alert", "sticker", "notify", "cmd", "ckpt", "dlq", "routed", "retry", "input", "shadow", noticeToken, stickerToken}

// parseTemplate reads a subject such as in.{twin}.{feed} of an installation that
// has the prefix.
func parseTemplate(text, prefix string) (template, error) {
	t := template{tokens: strings.Split(text, "."), twin: -1, feed: -1}
	for i, token := range t.tokens {
		switch {
		case token == "{twin}" && t.twin < 0:
			t.twin, t.tokens[i] = i, "*"
		case token == "{feed}" && t.feed < 0:
			t.feed, t.tokens[i] = i, "*"
		case token == "" || strings.ContainsAny(token, " \t\r\n*>{}"):
			return t, fmt.Errorf(`got %q; want a subject of plain tokens with one {twin} and one {feed}, as "in.{twin}.{feed}"`, text)
		}
	}
	if t.twin < 0 || t.feed < 0 {
		return t, fmt.Errorf("got %q; want one {twin} and one {feed} in it", text)
	}
	before := t.tokens[:min(t.twin, t.feed)]
	if prefix != "" && len(before) > 0 && before[0] == prefix {
		before = before[1:]
	}
	if len(before) == 0 {
		return t, errors.New("want a token of its own before {twin} and {feed}, so that no other subject fits")
	}
	switch first := before[0]; {
	case slices.Contains(ours, first) || strings.HasPrefix(first, "$") || strings.HasPrefix(first, "_"):
		return t, fmt.Errorf("subjects that begin with %q are used already; want another first token", first)
	}
	return t, nil
}

// pattern is the subject with wildcards that all of them fit.
func (t template) pattern() string { return strings.Join(t.tokens, ".") }

// of is the pattern of the subjects of one twin; "*" is any twin.
func (t template) of(twin string) string {
	tokens := slices.Clone(t.tokens)
	if twin != "*" {
		tokens[t.twin] = Token(twin)
	}
	return strings.Join(tokens, ".")
}

// partitioned is the form into which FEED turns them, after the root of all
// subjects; the numbers are those of the wildcards.
func (t template) partitioned(root string, partitions int) string {
	twin, feed := 1, 2
	if t.feed < t.twin {
		twin, feed = 2, 1
	}
	return root + fmt.Sprintf("feed.{{partition(%d,%d)}}.{{wildcard(%d)}}.{{wildcard(%d)}}", partitions, twin, twin, feed)
}

// match gives the tokens of twin and feed.
func (t template) match(subject string) (twin, feed string, ok bool) {
	for i, want := range t.tokens {
		token, rest, more := strings.Cut(subject, ".")
		if last := i == len(t.tokens)-1; more == last || want != "*" && want != token {
			return "", "", false
		}
		switch i {
		case t.twin:
			twin = token
		case t.feed:
			feed = token
		}
		subject = rest
	}
	return twin, feed, true
}
