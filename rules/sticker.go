package rules

import (
	"fmt"
	"time"
)

// StickerChange is what an outcome of kind Sticker wants done to a sticker: a tag
// on a twin that somebody sees and takes off (Trusted Twin's stickers).
type StickerChange struct {
	Op         string // PutSticker or RemoveSticker
	Event      string // of the alert's episode: why
	Twin       string // on which; never ""
	Account    string // whose sticker it is; "": the installation's own account
	Color      string // its name on the twin, among those of its account
	Note       string
	Recipients []string      // ids of users, roles or accounts, who see it and may take it off
	Until      time.Time     // until when it stays; zero: as long as one may
	Publish    StickerTopics // who is told
	OnExisting string        // KeepSticker, ReplaceSticker or RefuseSticker
	OnRemove   string        // Acknowledge or Clear: what a recipient who takes it off does to the outcome's alert; "": nothing
	Own        bool          // of a removal: only a sticker that this rule has put
}

// StickerTopics are the topics on which the events of a sticker are told.
type StickerTopics struct {
	Put, Remove, Expire []string
}

// What may be done to a sticker.
const (
	PutSticker    = "put"
	RemoveSticker = "remove"
)

// What a put does where the twin has another sticker of that colour.
const (
	KeepSticker    = "keep" // nothing: the default
	ReplaceSticker = "replace"
	RefuseSticker  = "error" // it is a dead letter
)

// Notice is what an outcome of kind Notification tells those who subscribe to a topic.
type Notice struct {
	Event      string // of the alert's episode: why
	Account    string // whose topic it is; "": the installation's own account
	Topic      string
	Recipients []string // ids of users, roles or accounts; nil: all who subscribe
	Body       []byte   // one JSON value
}

// Does says in a line what a sticker's or a notification's outcome does.
func (o *Outcome) Does() string {
	switch {
	case o.Sticker != nil && o.Sticker.Op == RemoveSticker:
		return fmt.Sprintf("sticker %q taken off %s", o.Sticker.Color, o.Sticker.Twin)
	case o.Sticker != nil:
		return fmt.Sprintf("sticker %q put on %s%s", o.Sticker.Color, o.Sticker.Twin, removalDoes[o.Sticker.OnRemove])
	case o.Notice != nil:
		return fmt.Sprintf("topic %q told: %s", o.Notice.Topic, shownJSON(o.Notice.Body))
	}
	return ""
}

var removalDoes = map[string]string{
	Acknowledge: "; who takes it off acknowledges the alert", Clear: "; who takes it off clears the alert",
}

// The bounds that Trusted Twin documents, in characters, numbers and time.
const (
	MaxStickerNote       = 512
	MaxStickerRecipients = 100
	MaxStickerValidity   = 365 * 24 * time.Hour
)
