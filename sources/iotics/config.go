// Package iotics is the source that follows feeds of twins on a remote host of
// IOTICS.
package iotics

import (
	"context"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/space"
)

// Config says which host, who we are there, and what to follow.
type Config struct {
	space.Config
	Filter      *rules.Filter `json:"filter"`      // which twins, as an interaction's source has it
	Scope       string        `json:"scope"`       // of the search: LOCAL (the host's own twins) or GLOBAL
	Feeds       []string      `json:"feeds"`       // of the twins that are found; all unless said
	Follow      []Target      `json:"follow"`      // further feeds
	Twin        string        `json:"twin"`        // the local twin's id, in which {twin} and {host} are the remote one's; {twin} unless said
	Refresh     time.Duration `json:"refresh"`     // how often to search again, 5m unless said
	Follower    string        `json:"follower"`    // the twin that follows; each follows itself unless said
	FollowerKey string        `json:"followerKey"` // the name of the key of a twin of the agent's that follows
	Durable     string        `json:"durable"`     // the name of our places on a host that keeps them
}

// Target is one feed.
type Target struct {
	Twin string `json:"twin" strict:"required"`
	Feed string `json:"feed" strict:"required"`
	Host string `json:"host"` // "": the host's own
}

// Newest is when the newest sample of a local feed happened.
type Newest func(ctx context.Context, twin, feed string) (at time.Time, ok bool)

type source struct {
	Config
	sources.Contact
	newest Newest
}

// New makes the source of its Config. newest lets it leave out a sample that it
// has stored before it was stopped; nil: it knows of none. It connects in Run.
func New(raw strictjson.Raw, newest Newest) (sources.Source, error) {
	s := &source{Config: Config{Config: space.Defaults(), Scope: space.Local, Twin: "{twin}", Refresh: 5 * time.Minute}, newest: newest}
	errs := []error{raw.Decode(&s.Config), s.Check(raw)}
	wrong := func(field, format string, args ...any) {
		at := raw.At
		if v := raw.Member(field); !v.IsZero() {
			at = v.At
		}
		errs = append(errs, at.Errorf(format, args...))
	}
	if s.Filter == nil && len(s.Follow) == 0 && raw.Kind() == strictjson.Object {
		wrong("follow", "nothing to follow; want a filter, or twins and feeds in follow")
	}
	if s.Filter != nil && s.Filter.Empty() && strictjson.Join(errs...) == nil {
		wrong("filter", "a filter that asks for nothing; want properties, text or a location")
	}
	if s.Filter == nil {
		for _, field := range []string{"scope", "feeds"} {
			if !raw.Member(field).IsZero() {
				wrong(field, "%s without a filter; want it with one only", field)
			}
		}
	}
	if s.Scope != space.Local && s.Scope != space.Global {
		wrong("scope", "got %q; want LOCAL or GLOBAL", s.Scope)
	}
	if s.Refresh < time.Second {
		wrong("refresh", "got %v; want 1s or more", s.Refresh)
	}
	if !strings.Contains(s.Twin, "{twin}") && (s.Filter != nil || len(s.Follow) > 1) {
		wrong("twin", "got %q for many twins; want a text with {twin}", s.Twin)
	}
	for i, t := range s.Follow {
		if t.Twin == "" || t.Feed == "" {
			if at := raw.Member("follow").Elems()[i]; !at.Member("twin").IsZero() && !at.Member("feed").IsZero() {
				errs = append(errs, at.At.Errorf(`got ""; want the id of a twin and of its feed`))
			}
		}
	}
	if s.FollowerKey != "" && (s.Follower != "" || s.Agent.Name == "") {
		wrong("followerKey", "want it with an agent, and without follower")
	}
	if strings.ContainsAny(s.Durable, "\r\n\x00") {
		wrong("durable", "more than one line; want one")
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// local is the id of our twin for a remote one.
func (s *source) local(f space.Feed) string {
	return strings.NewReplacer("{twin}", f.Twin, "{host}", f.Host).Replace(s.Twin)
}
