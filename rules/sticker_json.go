package rules

import (
	"strconv"
	"time"
)

// appendNames appends what a sticker is known by. Twin is the outcome's: the
// sticker's own stands there only where it is another one.
func (c *StickerChange) appendNames(b []byte, twin string) []byte {
	b = AppendText(append(b, `,"event":`...), c.Event)
	b = AppendText(append(b, `,"op":`...), c.Op)
	if c.Twin != twin {
		b = AppendText(append(b, `,"onTwin":`...), c.Twin)
	}
	b = AppendText(append(b, `,"color":`...), c.Color)
	return appendIf(b, `,"account":`, c.Account)
}

func (c *StickerChange) appendRest(b []byte) []byte {
	b = appendIf(b, `,"note":`, c.Note)
	if c.Recipients != nil {
		b = appendNames(append(b, `,"recipients":`...), c.Recipients)
	}
	if !c.Until.IsZero() {
		b = appendSecondsOf(append(b, `,"validity_ts":`...), c.Until)
	}
	if t := &c.Publish; len(t.Put)+len(t.Remove)+len(t.Expire) > 0 {
		b = append(b, `,"publish":{`...)
		n := 0
		for i, topics := range [][]string{t.Put, t.Remove, t.Expire} {
			if len(topics) > 0 {
				b = append(AppendText(appendComma(b, n), publishNames[i]), ':')
				b = appendNames(b, topics)
				n++
			}
		}
		b = append(b, '}')
	}
	b = appendIf(appendIf(b, `,"onExisting":`, c.OnExisting), `,"onRemove":`, c.OnRemove)
	if c.Own {
		b = append(b, `,"own":true`...)
	}
	return b
}

// appendIf appends a member unless its text is empty.
func appendIf(b []byte, member, text string) []byte {
	if text == "" {
		return b
	}
	return AppendText(append(b, member...), text)
}

// appendSecondsOf appends a time as Trusted Twin writes it: seconds since 1970
// with three decimals.
func appendSecondsOf(b []byte, t time.Time) []byte {
	return strconv.AppendFloat(b, float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// secondsOf is the time of such a number.
func secondsOf(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds*1000 + .5)).UTC()
}

func (n *Notice) appendNames(b []byte) []byte {
	b = AppendText(append(b, `,"event":`...), n.Event)
	b = AppendText(append(b, `,"topic":`...), n.Topic)
	return appendIf(b, `,"account":`, n.Account)
}

func (n *Notice) appendRest(b []byte) []byte {
	if n.Recipients != nil {
		b = appendNames(append(b, `,"recipients":`...), n.Recipients)
	}
	return append(append(b, `,"body":`...), n.Body...)
}

// stickerJSON is how a StickerChange is read, and of a Notice what they share.
type stickerJSON struct {
	Op         string   `json:"op"`
	OnTwin     string   `json:"onTwin"`
	Color      string   `json:"color"`
	Account    string   `json:"account"`
	Note       string   `json:"note"`
	Recipients []string `json:"recipients"`
	Until      float64  `json:"validity_ts"`
	Publish    struct {
		Put    []string `json:"on_put"`
		Remove []string `json:"on_remove"`
		Expire []string `json:"on_expire"`
	} `json:"publish"`
	OnExisting string `json:"onExisting"`
	OnRemove   string `json:"onRemove"`
	Own        bool   `json:"own"`
}

func (w *stickerJSON) change(twin, event string) *StickerChange {
	if w.OnTwin != "" {
		twin = w.OnTwin
	}
	return &StickerChange{
		Op: w.Op, Event: event, Twin: twin, Account: w.Account, Color: w.Color, Note: w.Note, Recipients: w.Recipients,
		Until: secondsOf(w.Until), Publish: StickerTopics(w.Publish), OnExisting: w.OnExisting, OnRemove: w.OnRemove, Own: w.Own,
	}
}
