// Package space is a client of an IOTICS space: a remote host, what it says of
// twins, and who we are there.
package space

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Feed names a feed of a twin. Host is "" where nothing was said of it.
type Feed struct{ Host, Twin, ID string }

// Destination is where a follower subscribes to the feed.
func (f Feed) Destination(follower string) string {
	return "/qapi/twins/" + segment.Replace(follower) + "/interests" + f.path(segment.Replace)
}

// path names the feed behind an interest.
func (f Feed) path(escape func(string) string) string {
	host := ""
	if f.Host != "" {
		host = "/hosts/" + escape(f.Host)
	}
	return host + "/twins/" + escape(f.Twin) + "/feeds/" + escape(f.ID)
}

// segment makes a name fit between two slashes, and leaves those of IOTICS as they are.
var segment = strings.NewReplacer("%", "%25", "/", "%2F")

func unescaped(name string) string {
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// ParseDestination reads what [Feed.Destination] writes.
func ParseDestination(destination string) (Feed, bool) {
	rest, ok := strings.CutPrefix(destination, "/qapi/twins/")
	_, rest, found := strings.Cut(rest, "/interests/")
	if !ok || !found {
		return Feed{}, false
	}
	var f Feed
	if named, ok := strings.CutPrefix(rest, "hosts/"); ok {
		f.Host, rest, _ = strings.Cut(named, "/")
	}
	rest, ok = strings.CutPrefix(rest, "twins/")
	f.Twin, f.ID, found = strings.Cut(rest, "/feeds/")
	f.Host, f.Twin, f.ID = unescaped(f.Host), unescaped(f.Twin), unescaped(f.ID)
	return f, ok && found && f.Twin != "" && f.ID != ""
}

// Followed is the feed that a message to a follower is of, by its interest.
func Followed(body []byte) (Feed, error) {
	var in struct {
		Interest struct {
			Old struct {
				Feed feedID `json:"feed"`
				Host string `json:"hostId"`
			} `json:"followedFeed"`
			New feedID `json:"followedFeedId"`
		} `json:"interest"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Feed{}, errors.New("not a message of IOTICS: " + err.Error())
	}
	f := Feed(in.Interest.New)
	if f.ID == "" {
		f = Feed(in.Interest.Old.Feed)
		f.Host = in.Interest.Old.Host
	}
	if f.ID == "" || f.Twin == "" {
		return Feed{}, errors.New("a message of IOTICS without interest.followedFeedId; want one with the feed and its twin")
	}
	return f, nil
}

// SampleID identifies a sample of a feed of a twin of ours by what it is, so that
// one which comes twice, as a message and as the last one, is stored once.
func SampleID(twin, feed string, at time.Time, data []byte) string {
	h := sha256.New()
	for _, part := range []string{twin, feed, at.UTC().Format(time.RFC3339Nano)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Write(data)
	return "iotics-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// id reads an id in each of its forms: "x", {"value":"x"}, {"id":"x"}; and the
// host beside it.
type id struct{ ID, Host string }

// UnmarshalJSON implements json.Unmarshaler.
func (i *id) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &i.ID)
	}
	var in struct {
		Value string `json:"value"`
		ID    string `json:"id"`
		Host  string `json:"hostId"`
	}
	err := json.Unmarshal(b, &in)
	i.ID, i.Host = in.ID, in.Host
	if i.ID == "" {
		i.ID = in.Value
	}
	return err
}

// feedID reads {"id":{"value":F},"twinId":{"value":D}} and {"id":F,"twinId":D,"hostId":H}.
type feedID Feed

// UnmarshalJSON implements json.Unmarshaler.
func (f *feedID) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &f.ID)
	}
	var in struct {
		Value string `json:"value"`
		ID    id     `json:"id"`
		Twin  id     `json:"twinId"`
		Host  string `json:"hostId"`
	}
	err := json.Unmarshal(b, &in)
	f.ID, f.Twin, f.Host = in.ID.ID, in.Twin.ID, in.Host
	if f.ID == "" {
		f.ID = in.Value
	}
	return err
}
