package bus

import (
	"fmt"
	"strconv"
	"strings"

	"tocsin.internal/rules"
)

// The streams. Their subjects are described in docs/wire.md.
const (
	feedStream    = "FEED"   // samples and control messages, in the order in which they are judged
	outStream     = "OUT"    // outcomes; the last one of each partition is its checkpoint
	deadStream    = "DLQ"    // what could not be read, judged or delivered
	historyStream = "ALERTS" // the alerts of OUT, kept for longer
	notifyStream  = "NOTIFY" // what the routes tell
	shadowStream  = "SHADOW" // what shadow rules have decided

	deliveriesStream = "DELIVERIES" // what is to be posted to subscribers, and the last attempts
	sentStream       = "SENT"       // every attempt of a sink
)

// The headers on the wire.
const (
	headerTime   = "Tocsin-Time" // of a sample: occurredAt, RFC 3339; without it the broker's time counts
	headerReason = "Tocsin-Reason"
	headerTwin   = "Tocsin-Twin"
	headerFeed   = "Tocsin-Feed"
	headerSeq    = "Tocsin-Seq" // of a dead letter: the sample's sequence and index in FEED
	headerSink   = "Tocsin-Sink"
	headerRoute  = "Tocsin-Route"
	headerSize   = "Tocsin-Size" // of a dead letter that is cut: bytes before that
	headerGone   = "Tocsin-Gone" // what is left of the last letter of a partition: its number
	// Of a dead letter of a sink: how often it was tried, and the outcome's subject. The
	// latter of another one is that of its sample, where a header cannot have the names.
	headerAttempts = "Tocsin-Attempts"
	headerSubject  = "Tocsin-Subject"
	headerMsgID    = "Nats-Msg-Id"
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
		if specials[name[i]] {
			return escapeToken(append(b, name[:i]...), name[i:])
		}
	}
	return append(b, name...)
}

func escapeToken(b []byte, name string) []byte {
	for i := range len(name) {
		if c := name[i]; specials[c] {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// specials are the bytes that special speaks of.
var specials = func() (all [256]bool) {
	for c := range all {
		all[c] = special(byte(c))
	}
	return all
}()

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
	const offset, prime = 2166136261, 16777619 // hash/fnv would allocate
	h := uint32(offset)
	for i := range len(token) {
		h = (h ^ uint32(token[i])) * prime
	}
	return int(h % uint32(n))
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

// Mark is the place of an outcome in the order of all outcomes of its partition:
// the sample that caused it, and which of that sample's outcomes it is.
type Mark struct {
	Seq     uint64 // of the message in FEED
	Index   uint32 // of the sample in its message
	Ordinal uint32 // of the outcome among those of its sample in this partition, from 0
	Count   uint32 // of outcomes of its sample in this partition
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

// appendMark renders the mark: seq.index ordinal/count.
func appendMark(b []byte, m Mark) []byte {
	b = strconv.AppendUint(b, m.Seq, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(m.Index), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(m.Ordinal), 10)
	b = append(b, '/')
	return strconv.AppendUint(b, uint64(m.Count), 10)
}

func parseMark(s string) (m Mark, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d %d/%d", &m.Seq, &m.Index, &m.Ordinal, &m.Count); err != nil {
		return Mark{}, fmt.Errorf("got %q; want \"seq.index ordinal/count\"", s)
	}
	return m, nil
}

// markOf is the mark that an outcome in OUT carries.
func markOf(o *rules.Outcome) Mark {
	return Mark{Seq: o.Seq, Index: o.Index, Ordinal: o.Ordinal, Count: o.Count}
}

// appendSubject renders where an outcome of partition p goes: see docs/wire.md.
func appendSubject(b []byte, p int, o *rules.Outcome) []byte {
	source := o.Source
	if source == "" {
		source = o.Twin
	}
	b = append(b, kindTokens[o.Kind]...)
	b = strconv.AppendInt(b, int64(p), 10)
	switch o.Kind {
	case rules.Output:
		return addTokens(b, source, o.Feed, o.Twin)
	case rules.Alert:
		return append(append(addTokens(b, o.Severity, o.Interaction+":"+o.Rule, source), '.'), o.Event()...)
	case rules.Notification:
		return addTokens(b, o.Feed)
	default:
		return addTokens(b, source, o.Feed)
	}
}

func addTokens(b []byte, names ...string) []byte {
	for _, name := range names {
		b = append(b, '.')
		if name == "" {
			b = append(b, '%')
		}
		b = appendToken(b, name)
	}
	return b
}

// kindTokens begin the subjects of OUT.
var kindTokens = map[rules.Kind]string{
	rules.Output: "out.", rules.Alert: "alert.", rules.Sticker: "sticker.", rules.Notification: "notify.", rules.Command: "cmd.",
}

// outSubjects are the subjects of OUT, in the order of the kinds.
var outSubjects = []string{"out.*.*.*.*", "alert.*.*.*.*.*", "sticker.*.*.*", "notify.*.*", "cmd.*.*.*", "ckpt.*"}

// endSubject takes what the writer says to the stream itself, which stores
// nothing of it: plain subscribers to outcomes must not see it.
const endSubject = "ckpt.end"
