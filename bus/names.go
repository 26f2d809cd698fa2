package bus

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"tocsin.internal/rules"
)

// The streams. Their subjects are described in docs/wire.md.
const (
	feedStream    = "FEED"   // samples and control messages, in the order in which they are judged
	outStream     = "OUT"    // outcomes; its last message is the checkpoint
	deadStream    = "DLQ"    // what could not be read, judged or delivered
	historyStream = "ALERTS" // the alerts of OUT, kept for longer
	notifyStream  = "NOTIFY" // what the routes tell
)

// The headers on the wire.
const (
	headerTime   = "Tocsin-Time"  // of a sample: occurredAt, RFC 3339; without it the broker's time counts
	headerKind   = "Tocsin-Kind"  // of an outcome: its kind
	headerCause  = "Tocsin-Cause" // of an outcome: Mark and hops
	headerID     = "Tocsin-Id"    // of a notification: its ID, which the body does not have
	headerReason = "Tocsin-Reason"
	headerTwin   = "Tocsin-Twin"
	headerFeed   = "Tocsin-Feed"
	headerSeq    = "Tocsin-Seq" // of a dead letter: the sample's sequence and index in FEED
	headerSink   = "Tocsin-Sink"
	headerMsgID  = "Nats-Msg-Id"
)

const hexDigits = "0123456789ABCDEF"

// Token makes any name one token of a subject: . * > / + # %, blanks and
// control characters are percent-encoded, so that the token is legal in NATS,
// in MQTT and in a STOMP path. A DID stays as it is. The empty name is "%".
func Token(name string) string {
	if name == "" {
		return "%"
	}
	for i := range len(name) {
		if special(name[i]) {
			return string(appendToken(nil, name))
		}
	}
	return name
}

func appendToken(b []byte, name string) []byte {
	for i := range len(name) {
		if c := name[i]; special(c) {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func special(c byte) bool {
	switch c {
	case '.', '*', '>', '/', '+', '#', '%', 0x7f:
		return true
	}
	return c <= ' '
}

// Name is the reverse of Token. What was not well encoded stays as it is.
func Name(token string) string {
	if token == "%" {
		return ""
	}
	if strings.IndexByte(token, '%') < 0 {
		return token
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] == '%' && i+2 < len(token) {
			if v, err := strconv.ParseUint(token[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, token[i])
	}
	return string(b)
}

// partition is the number that the server's {{partition(n,1)}} gives to the
// token: FNV-1a of its bytes modulo n.
func partition(token string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(token))
	return int(h.Sum32() % uint32(n))
}

// key makes any name a key of a bucket, whose alphabet is smaller than a
// subject's: what is not a letter, digit, - or _ becomes = and two hex digits.
func key(name string) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b = append(b, c)
		default:
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// Mark is the place of an outcome in the order of all outcomes: the sample that
// caused it, and which of that sample's outcomes it is.
type Mark struct {
	Seq     uint64 // of the message in FEED
	Index   uint32 // of the sample in its message
	Ordinal uint32 // of the outcome among those of its sample, from 0
	Count   uint32 // of outcomes of its sample
}

// Covers says that an outcome at o had been stored when m was the last one.
func (m Mark) Covers(o Mark) bool {
	if m.Seq != o.Seq {
		return m.Seq > o.Seq
	}
	if m.Index != o.Index {
		return m.Index > o.Index
	}
	return m.Ordinal >= o.Ordinal && m.Count > 0
}

// appendCause renders the header: seq.index ordinal/count hops.
func appendCause(b []byte, m Mark, hops uint8) []byte {
	b = strconv.AppendUint(b, m.Seq, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(m.Index), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(m.Ordinal), 10)
	b = append(b, '/')
	b = strconv.AppendUint(b, uint64(m.Count), 10)
	b = append(b, ' ')
	return strconv.AppendUint(b, uint64(hops), 10)
}

func parseCause(s string) (m Mark, hops uint8, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d %d/%d %d", &m.Seq, &m.Index, &m.Ordinal, &m.Count, &hops); err != nil {
		return Mark{}, 0, fmt.Errorf("header %s: got %q; want \"seq.index ordinal/count hops\"", headerCause, s)
	}
	return m, hops, nil
}

// subject is where an outcome goes: see docs/wire.md.
func subject(o *rules.Outcome, partitions int) string {
	source := o.Source
	if source == "" {
		source = o.Twin
	}
	token := Token(source)
	b := make([]byte, 0, 128)
	put := func(parts ...string) string {
		for i, p := range parts {
			if i > 0 {
				b = append(b, '.')
			}
			b = append(b, p...)
		}
		return string(b)
	}
	p := strconv.Itoa(partition(token, partitions))
	switch o.Kind {
	case rules.Output:
		return put("out", p, token, Token(o.Feed), Token(o.Twin))
	case rules.Alert:
		return put("alert", p, Token(o.Severity), Token(o.Interaction+":"+o.Rule), token, o.Event())
	case rules.Sticker:
		return put("sticker", p, token, Token(o.Feed))
	case rules.Notification:
		return put("notify", p, Token(o.Feed))
	default:
		return put("cmd", p, token, Token(o.Feed))
	}
}

// outSubjects are the subjects of OUT, in the order of the kinds.
var outSubjects = []string{"out.*.*.*.*", "alert.*.*.*.*.*", "sticker.*.*.*", "notify.*.*", "cmd.*.*.*", "ckpt.*"}

// endSubject takes what the writer says to the stream itself, which stores
// nothing of it: plain subscribers to outcomes must not see it.
const endSubject = "ckpt.end"
