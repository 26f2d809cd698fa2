package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tocsin.internal/bus"
)

// ErrTopic is what the error wraps when a topic cannot be followed.
var ErrTopic = errors.New("no such topic")

// topic is a Topic that has been checked.
type topic struct {
	kind    TopicKind
	key     feedKey  // FeedTopic, InputTopic
	pattern []string // the others; nil = all
	seen    []string // StickerTopic, NotificationTopic: by one of these; nil = by anybody
	quiet   bool
	tails   tailSet
}

// feedKey is a feed or an input of a twin.
type feedKey struct{ twin, name string }

// topicTails are the tails that have what is told on a kind of topic.
var topicTails = map[TopicKind]tailSet{
	FeedTopic:         1<<bus.SampleTail | 1<<bus.OutputTail,
	SampleTopic:       1<<bus.SampleTail | 1<<bus.OutputTail,
	InputTopic:        1 << bus.InputTail,
	OutputTopic:       1 << bus.OutputTail,
	AlertTopic:        1 << bus.AlertTail,
	NotificationTopic: 1<<bus.NotificationTail | 1<<bus.NoticeTail,
	StickerTopic:      1 << bus.StickerTail,
}

// topic checks t.
func (e *Engine) topic(t Topic) (topic, error) {
	tails, ok := topicTails[t.Kind]
	if !ok {
		return topic{}, fmt.Errorf("%w: kind %q", ErrTopic, t.Kind)
	}
	out := topic{kind: t.Kind, quiet: t.Quiet, tails: tails, seen: t.Recipients}
	if t.Kind == FeedTopic || t.Kind == InputTopic {
		if t.Twin == "" || t.Name == "" || len(t.Twin) > maxName || len(t.Name) > maxName {
			return topic{}, fmt.Errorf("%w: want a twin and a %s with names of 1 to %d bytes", ErrTopic, t.Kind, maxName)
		}
		out.key = feedKey{t.Twin, t.Name}
		if t.Kind == FeedTopic && e.shares(t.Twin) {
			out.tails = 1 << bus.SampleTail
		}
		return out, nil
	}
	var err error
	if out.pattern, err = parsePattern(t.Pattern); err != nil {
		return out, err
	}
	return out, fitting(out.pattern, subjectTokens[t.Kind])
}

// subjectTokens are what subjects are made of, between dots.
var subjectTokens = map[TopicKind]string{
	SampleTopic: "twin.feed", OutputTopic: "twin.feed", AlertTopic: "severity.rule.twin.event", NotificationTopic: "topic", StickerTopic: "twin.colour",
}

// fitting says why a pattern fits no subject that is made like this.
func fitting(pattern []string, of string) error {
	want := strings.Count(of, ".") + 1
	if n := len(pattern); n == 0 || n == want || n < want && pattern[n-1] == ">" {
		return nil
	}
	return fmt.Errorf("%w: pattern %q fits nothing; want %s, with * for any of them, or > at the end for the rest", ErrTopic, shorten(strings.Join(pattern, ".")), of)
}

// maxPattern bounds the text of a pattern.
const maxPattern = 4096

// parsePattern gives the tokens of a pattern; nil when it fits everything.
func parsePattern(text string) ([]string, error) {
	if text == "" || text == ">" {
		return nil, nil
	}
	if len(text) > maxPattern {
		return nil, fmt.Errorf("%w: a pattern of %d bytes; want at most %d", ErrTopic, len(text), maxPattern)
	}
	tokens := strings.Split(text, ".")
	for i, t := range tokens {
		switch {
		case t == "":
			return nil, fmt.Errorf("%w: pattern %q has an empty token", ErrTopic, shorten(text))
		case t == ">" && i < len(tokens)-1:
			return nil, fmt.Errorf("%w: pattern %q has > before its end", ErrTopic, shorten(text))
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return nil, fmt.Errorf("%w: pattern %q has a wildcard that is not a token of its own; in names * is %%2A and > is %%3E", ErrTopic, shorten(text))
		}
	}
	return tokens, nil
}

// fits says whether a subject fits the pattern.
func fits(pattern []string, subject string) bool {
	for i, want := range pattern {
		if want == ">" {
			return subject != ""
		}
		token, rest, more := strings.Cut(subject, ".")
		if token == "" || want != "*" && want != token || more == (i == len(pattern)-1) {
			return false
		}
		subject = rest
	}
	return true
}

// wants says whether an event is told on a topic that has a pattern.
func (t *topic) wants(e *Event) bool {
	if !fits(t.pattern, e.Subject) {
		return false
	}
	ofRoute := e.Kind == NotificationTopic && e.Outcome != nil // for all who may follow
	return t.seen == nil || ofRoute || slices.ContainsFunc(e.Recipients, func(id string) bool { return slices.Contains(t.seen, id) })
}

// index is who follows what.
type index struct {
	feeds  map[feedKey][]*follower
	inputs map[feedKey][]*follower
	kinds  map[TopicKind][]listed
	uses   [bus.Tails]int
}

// listed is a follower of all of a kind that fits a topic.
type listed struct {
	*follower
	topic *topic
}

func newIndex() *index {
	return &index{feeds: map[feedKey][]*follower{}, inputs: map[feedKey][]*follower{}, kinds: map[TopicKind][]listed{}}
}

func (x *index) byKey(k TopicKind) map[feedKey][]*follower {
	if k == FeedTopic {
		return x.feeds
	}
	return x.inputs
}

func (x *index) add(f *follower) {
	for i := range f.topics {
		t := &f.topics[i]
		switch t.kind {
		case FeedTopic, InputTopic:
			m := x.byKey(t.kind)
			m[t.key] = append(m[t.key], f)
		default:
			x.kinds[t.kind] = append(x.kinds[t.kind], listed{f, t})
		}
	}
}

func (x *index) remove(f *follower) {
	for i := range f.topics {
		t := &f.topics[i]
		switch t.kind {
		case FeedTopic, InputTopic:
			m := x.byKey(t.kind)
			if m[t.key] = without(m[t.key], f); len(m[t.key]) == 0 {
				delete(m, t.key)
			}
		default:
			x.kinds[t.kind] = slices.DeleteFunc(x.kinds[t.kind], func(l listed) bool { return l.follower == f })
		}
	}
}

func without(list []*follower, f *follower) []*follower {
	return slices.DeleteFunc(list, func(o *follower) bool { return o == f })
}
