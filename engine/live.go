package engine

import (
	"context"
	"fmt"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// Topic is something that can be followed.
type Topic struct {
	Kind TopicKind
	Twin string // FeedTopic, InputTopic
	Name string // FeedTopic, InputTopic: the feed's or the input's id

	// Pattern narrows the other kinds: tokens between dots, with * for one of them
	// and > at the end for the rest, as in docs/wire.md; "" is all.
	Pattern string

	// Quiet adds to AlertTopic the events of which nobody is to be told: of rules
	// that only record, of what is shelved, inhibited or silenced.
	Quiet bool

	// Recipients narrows StickerTopic, and the notices of NotificationTopic, to stickers that one of these users, roles and
	// accounts may see; nil: all.
	Recipients []string `json:",omitempty"`
}

// TopicKind is a kind of topic.
type TopicKind string

// The kinds of topic.
const (
	FeedTopic         TopicKind = "feed"         // samples of one feed of one twin, also of an output twin
	InputTopic        TopicKind = "input"        // messages to one input of one twin
	SampleTopic       TopicKind = "sample"       // samples of all feeds, also those of output twins; <twin>.<feed>
	OutputTopic       TopicKind = "output"       // outputs of interactions; <output twin>.<feed>
	AlertTopic        TopicKind = "alert"        // what becomes of alerts; <severity>.<interaction>:<rule>.<twin>.<event>
	NotificationTopic TopicKind = "notification" // <topic>
	StickerTopic      TopicKind = "sticker"      // what happens to stickers; <twin>.<colour>
)

// Event is what a follower gets. It is shared by all of them and must not be changed.
type Event struct {
	ID      string    // its place, to go on from; see docs/wire.md
	Kind    TopicKind // of a sample always SampleTopic
	Twin    string
	Name    string // the feed's or the input's id
	From    string // InputTopic: the twin that sent it, or ""
	At      time.Time
	Stored  time.Time
	Mime    string         // of Data
	Data    []byte         // of a sample or a message its payload, else the JSON of the outcome, or of what happened to a sticker
	Subject string         // what Topic.Pattern is compared with
	Outcome *rules.Outcome // nil of what is none

	Recipients []string // StickerTopic, and notices of NotificationTopic: who may see it
	Past       bool     // it was there before its follower came, who is still catching up
}

// Follow is FollowAll of one topic.
func (e *Engine) Follow(ctx context.Context, t Topic, after string, f func(*Event)) (stop func(), err error) {
	return e.FollowAll(ctx, []Topic{t}, after, f)
}

// FollowAll calls f for everything that happens on the topics from now on, or
// after the event with the id after, one after the other and until stop is called.
// What several of the topics name comes once. Each tail of the streams keeps its
// order. ctx is that of the beginning alone.
//
// f must not block; only while an event is Past it may, as that holds back nobody
// else, and then it has to return soon after stop was called. When FollowAll
// returns, nothing that comes is missed any more. An id that is too old goes on at
// the oldest event that is kept, and of a tail that the id does not name it is now.
// stop may be called from anywhere, also by f; f may be at work when it returns.
//
// The error may wrap ErrTopic, ErrEventID or ErrStopped. Twins and feeds need not
// be there yet.
func (e *Engine) FollowAll(ctx context.Context, topics []Topic, after string, f func(*Event)) (stop func(), err error) {
	_, stop, err = e.FollowFrom(ctx, topics, after, f)
	return stop, err
}

// FollowFrom is FollowAll that says from where on it follows: the id to go on from
// as long as nothing has happened.
func (e *Engine) FollowFrom(ctx context.Context, topics []Topic, after string, f func(*Event)) (from string, stop func(), err error) {
	if len(topics) == 0 {
		return "", nil, fmt.Errorf("%w: none is named", ErrTopic)
	}
	who := &follower{give: f}
	for _, t := range topics {
		one, err := e.topic(t)
		if err != nil {
			return "", nil, err
		}
		who.topics = append(who.topics, one)
		who.tails |= one.tails
	}
	who.hears = who.tails.has(bus.AlertTail)
	if after == "" {
		err = e.hub.follow(ctx, who)
	} else {
		var at places
		if at, err = parsePlaces(after); err == nil {
			err = e.hub.resume(ctx, who, at)
		}
	}
	if err != nil {
		return "", nil, err
	}
	return who.began, func() { e.hub.leave(who) }, nil
}
