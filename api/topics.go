package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// maxTopics is how many topics one stream of events may have.
const maxTopics = 200

// plural are the topics that a pattern narrows.
var plural = map[string]engine.TopicKind{
	"alerts": engine.AlertTopic, "samples": engine.SampleTopic, "outputs": engine.OutputTopic, "notifications": engine.NotificationTopic, "stickers": engine.StickerTopic,
}

// single are those of one feed or input of one twin.
var single = map[string]engine.TopicKind{"feed": engine.FeedTopic, "input": engine.InputTopic}

// topicNames are all words by which a topic may begin.
var topicNames = []string{"alerts", "samples", "outputs", "notifications", "stickers", "twin", "feed", "input"}

// readTopics reads lists of topics with commas between them. In the ids of twins,
// feeds and inputs, and in patterns, a comma is %2C, in ids also a slash is %2F and
// a per cent sign %25.
func readTopics(lists []string, quiet bool) (out []engine.Topic, err error) {
	for _, list := range lists {
		for text := range strings.SplitSeq(list, ",") {
			topics, err := readTopic(text)
			if err != nil {
				return nil, wrong("topics: %w", err)
			}
			out = append(out, topics...)
		}
	}
	if len(out) == 0 {
		return nil, wrong("topics is missing; want such as topics=alerts,twin:machine_1")
	}
	if len(out) > maxTopics {
		return nil, wrong("topics: there are %d; want at most %d", len(out), maxTopics)
	}
	for i := range out {
		out[i].Quiet = quiet && out[i].Kind == engine.AlertTopic
	}
	return out, nil
}

func readTopic(text string) ([]engine.Topic, error) {
	name, rest, more := strings.Cut(text, ":")
	if kind, ok := plural[name]; ok {
		if more && rest == "" {
			return nil, fmt.Errorf("%q has an empty pattern; want %s alone for all", text, name)
		}
		return []engine.Topic{{Kind: kind, Pattern: strings.ReplaceAll(rest, "%2C", ",")}}, nil
	}
	if kind, ok := single[name]; ok {
		twin, thing, err := readPair(rest)
		if err != nil {
			return nil, fmt.Errorf("%.200q: %w; want %s:TWIN/%s", text, err, name, strings.ToUpper(name))
		}
		return []engine.Topic{{Kind: kind, Twin: twin, Name: thing}}, nil
	}
	if name == "twin" {
		twin, err := url.PathUnescape(rest)
		if err != nil || twin == "" {
			return nil, fmt.Errorf("%.200q names no twin; want twin:TWIN", text)
		}
		token := engine.Token(twin)
		return []engine.Topic{
			{Kind: engine.SampleTopic, Pattern: token + ".>"},
			{Kind: engine.AlertTopic, Pattern: "*.*." + token + ".*"},
			{Kind: engine.StickerTopic, Pattern: token + ".>"},
		}, nil
	}
	return nil, fmt.Errorf("no topic %.200q%s", name, strictjson.OneOf(name, slices.Sorted(slices.Values(topicNames))))
}

// readPair reads TWIN/FEED.
func readPair(text string) (twin, name string, err error) {
	first, second, _ := strings.Cut(text, "/")
	if twin, err = url.PathUnescape(first); err != nil {
		return "", "", err
	}
	if name, err = url.PathUnescape(second); err != nil {
		return "", "", err
	}
	if twin == "" || name == "" || strings.Contains(second, "/") {
		return "", "", fmt.Errorf("not two ids with a slash between them")
	}
	return twin, name, nil
}
