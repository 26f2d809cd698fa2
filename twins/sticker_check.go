package twins

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// maxRecipient bounds the id of a recipient, in bytes.
const maxRecipient = 128

// checkRecipient says what is wrong with the recipient of a sticker that somebody
// puts: users, roles and accounts have UUIDs.
func checkRecipient(id string) error {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return fmt.Errorf("recipient %.60q is no UUID; want that of a user, a role or an account", id)
	}
	return nil
}

// readRecipients gives each recipient once. Rules may name somebody who has no
// UUID: nobody is that yet.
func readRecipients(list []string, check func(id string) error) (out []string, err error) {
	if len(list) < 1 || len(list) > rules.MaxStickerRecipients {
		return nil, fmt.Errorf("%d recipients; want 1 to %d", len(list), rules.MaxStickerRecipients)
	}
	for _, id := range list {
		if id = strings.ToLower(id); id == "" || len(id) > maxRecipient {
			return nil, fmt.Errorf("a recipient of %d bytes; want 1 to %d", len(id), maxRecipient)
		}
		if err := check(id); err != nil {
			return nil, err
		}
		out = once(out, id)
	}
	return out, nil
}

// once adds a text that is not in the list.
func once(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// maxStickerTopics is on how many topics one event may be told.
const maxStickerTopics = 20

func readStickerTopics(list []string) (out []string, err error) {
	if len(list) > maxStickerTopics {
		return nil, fmt.Errorf("%d topics; want at most %d", len(list), maxStickerTopics)
	}
	for _, topic := range list {
		if err := rules.CheckTopic(topic); err != nil {
			return nil, err
		}
		out = once(out, topic)
	}
	return out, nil
}

// validUntil is until when a sticker stays that is made now; the zero time says
// as long as it may.
func validUntil(until, now time.Time) (time.Time, error) {
	last := now.Add(rules.MaxStickerValidity)
	switch until = millis(until); {
	case until.IsZero():
		return millis(last), nil
	case !until.After(now):
		return until, fmt.Errorf("valid until %s, which is over; want a time to come", until.Format(time.RFC3339))
	case until.After(last):
		return until, fmt.Errorf("valid until %s; want at most a year, until %s", until.Format(time.RFC3339), last.UTC().Format(time.RFC3339))
	}
	return until, nil
}

// DecidedSticker is the sticker that a rule puts, with the id of its decision;
// account is whose it is where the rule does not say. Its time begins with the
// outcome's.
func DecidedSticker(o *rules.Outcome, account, decision string) (Sticker, error) {
	c := o.Sticker
	s := Sticker{
		ID: decision, Twin: c.Twin, Account: account, Color: c.Color, Note: c.Note, Created: millis(o.At),
		Longest: c.Until.IsZero(), Rule: o.Interaction + "/" + o.Rule,
	}
	if c.Account != "" {
		s.Account = c.Account
	}
	if c.OnRemove != "" {
		s.Alert = &StickerAlert{Do: c.OnRemove, ID: o.ID, Interaction: o.Interaction, Rule: o.Rule, Twin: o.Twin}
	}
	until := c.Until
	var errs [6]error
	errs[0] = rules.CheckStickerColor(c.Color)
	errs[1] = rules.CheckStickerNote(c.Note)
	s.Recipients, errs[2] = readRecipients(c.Recipients, func(string) error { return nil })
	s.ValidUntil, errs[3] = validUntil(until, s.Created)
	s.Publish, errs[4] = readPublish(c.Publish)
	if c.Twin == "" || len(c.Twin) > maxID {
		errs[5] = fmt.Errorf("a twin's id of %d bytes; want 1 to %d", len(c.Twin), maxID)
	}
	return s, strictjson.Join(errs[:]...)
}

func readPublish(t rules.StickerTopics) (out rules.StickerTopics, err error) {
	var errs [3]error
	out.Put, errs[0] = readStickerTopics(t.Put)
	out.Remove, errs[1] = readStickerTopics(t.Remove)
	out.Expire, errs[2] = readStickerTopics(t.Expire)
	return out, strictjson.Join(errs[:]...)
}
