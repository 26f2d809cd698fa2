package stomp

import (
	"slices"
	"strings"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// form is how what comes is told.
type form int

const (
	feedForm    form = iota // IOTICS: an interest and the sample
	inputForm               // IOTICS: the input and the message
	resultsForm             // IOTICS: answers of searches
	plainForm               // the payload or the outcome itself, and the destination that it is of
)

// destination is one that can be subscribed to.
type destination struct {
	form  form
	topic engine.Topic // of all forms but results
	root  string       // plainForm with a pattern: what the event's own destination begins with
	names map[string]string
}

// shapes are the destinations, with names in braces. One that ends in ... is
// followed by a pattern.
var shapes = []struct {
	path string
	form form
	kind engine.TopicKind
}{
	{"/qapi/twins/{follower}/interests/twins/{twin}/feeds/{feed}", feedForm, engine.FeedTopic},
	{"/qapi/twins/{follower}/interests/hosts/{host}/twins/{twin}/feeds/{feed}", feedForm, engine.FeedTopic},
	{"/qapi/hosts/{host}/twins/{follower}/interests/twins/{twin}/feeds/{feed}", feedForm, engine.FeedTopic},
	{"/qapi/twins/{twin}/inputs/{input}", inputForm, engine.InputTopic},
	{"/qapi/hosts/{host}/twins/{twin}/inputs/{input}", inputForm, engine.InputTopic},
	{results, resultsForm, ""},
	{"/twins/{twin}/feeds/{feed}", plainForm, engine.FeedTopic},
	{"/topic/alerts/...", plainForm, engine.AlertTopic},
	{"/topic/notifications/...", plainForm, engine.NotificationTopic},
	{"/topic/stickers/...", plainForm, engine.StickerTopic},
}

// Where searches are sent, and where their answers come.
const (
	dispatches = "/qapi/searches/dispatches"
	results    = "/qapi/searches/results"
)

// destination reads one that a client subscribes to.
func (s *Server) destination(text string) (destination, error) {
	for _, shape := range shapes {
		if root, ok := strings.CutSuffix(shape.path, "..."); ok {
			if pattern, ok := under(text, root); ok {
				pattern, err := s.pattern(shape.kind, pattern)
				return destination{form: shape.form, root: root, topic: engine.Topic{Kind: shape.kind, Pattern: pattern}}, err
			}
			continue
		}
		names, ok := match(shape.path, text)
		if !ok || s.Space == nil && shape.form != plainForm {
			continue
		}
		if host := names["host"]; host != "" && host != s.Host {
			return destination{}, refuse(notFound, "no host %.100q; this is %q", host, s.Host)
		}
		d := destination{form: shape.form, names: names, topic: engine.Topic{Kind: shape.kind, Twin: names["twin"], Name: names["feed"] + names["input"]}}
		return d, nil
	}
	return destination{}, refuse(notFound, "no destination %.200q", text)
}

// under gives what follows a root, which may be left out with its last slash.
func under(text, root string) (rest string, ok bool) {
	if text == strings.TrimSuffix(root, "/") {
		return "", true
	}
	return strings.CutPrefix(text, root)
}

// match gives the names in a text that has the shape.
func match(shape, text string) (map[string]string, bool) {
	want, got := strings.Split(shape, "/"), strings.Split(text, "/")
	if len(want) != len(got) {
		return nil, false
	}
	names := map[string]string{}
	for i, w := range want {
		if name, ok := strings.CutPrefix(w, "{"); ok && got[i] != "" {
			names[strings.TrimSuffix(name, "}")] = engine.Name(got[i])
		} else if w != got[i] {
			return nil, false
		}
	}
	return names, true
}

// depths are the tokens of what a pattern is compared with.
var depths = map[engine.TopicKind]int{engine.AlertTopic: 4, engine.NotificationTopic: 1, engine.StickerTopic: 2}

// pattern makes the pattern of a topic from what follows its root: names between
// slashes, with * for one of them and > at the end for the rest.
func (s *Server) pattern(kind engine.TopicKind, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	tokens := s.withoutSpace(kind, strings.Split(text, "/"))
	for i, t := range tokens {
		switch {
		case t == "":
			return "", refuse(invalid, "an empty name in %.200q", text)
		case t == ">" && i < len(tokens)-1:
			return "", refuse(invalid, "> before the end of %.200q", text)
		case t == ">", t == "*":
		case strings.ContainsAny(t, "*>"):
			return "", refuse(invalid, "a wildcard that is no name of its own in %.200q; in a name * is %%2A and > is %%3E", text)
		default:
			tokens[i] = engine.Token(engine.Name(t))
		}
	}
	if n := len(tokens); n > depths[kind] || n < depths[kind] && tokens[n-1] != ">" {
		return "", refuse(invalid, "%d names in %.200q; want %d, or > at the end for the rest", n, text, depths[kind])
	}
	return strings.Join(tokens, "."), nil
}

// withoutSpace leaves out the installation's name, which alerts have outside before
// their severity.
func (s *Server) withoutSpace(kind engine.TopicKind, tokens []string) []string {
	if kind != engine.AlertTopic || len(tokens) < 2 || isSeverity(tokens[0]) {
		return tokens
	}
	whole := len(tokens) == depths[kind]+1
	if s.Name != "" && engine.Name(tokens[0]) == s.Name || whole && tokens[0] == "*" {
		return slices.Delete(tokens, 0, 1)
	}
	return tokens
}

func isSeverity(token string) bool {
	word, ok := rules.CanonicalSeverity(token)
	return ok && word == token
}

// path is the destination of an event's subject.
func (d *destination) path(subject string) string {
	return d.root + strings.ReplaceAll(subject, ".", "/")
}
