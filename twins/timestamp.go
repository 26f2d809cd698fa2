package twins

import (
	"math"
	"strconv"
	"time"

	"tocsin.internal/internal/strictjson"
)

// Timestamp is a time in milliseconds since 1970. In JSON it is Trusted Twin's:
// seconds with three decimals, such as 1700000000.120. The zero Timestamp is none.
type Timestamp int64

// TimestampOf is that of a time; what is below a millisecond is cut off.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time is the time, in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

func (t Timestamp) String() string {
	return strconv.FormatFloat(float64(t)/1000, 'f', 3, 64)
}

// MarshalJSON makes it a [json.Marshaler].
func (t Timestamp) MarshalJSON() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalJSON makes it a [json.Unmarshaler].
func (t *Timestamp) UnmarshalJSON(text []byte) error {
	at, err := ParseTimestamp(string(text))
	*t = at
	return err
}

// maxTimestamp is the end of the year 9999, in seconds.
const maxTimestamp = 253402300799

// ParseTimestamp reads seconds since 1970.
func ParseTimestamp(text string) (Timestamp, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxTimestamp) {
		return 0, strconv.ErrRange
	}
	return Timestamp(math.Round(seconds * 1000)), nil
}

// DecodeStrict reads a number.
func (t *Timestamp) DecodeStrict(r strictjson.Raw) error {
	const want = "seconds since 1970 such as 1700000000.000"
	if r.Kind() != strictjson.Number {
		return r.Wrong(strictjson.Number, want)
	}
	at, err := ParseTimestamp(string(r.Text()))
	if err != nil {
		return r.Wrong(strictjson.Number, want)
	}
	*t = at
	return nil
}
