// Package envelope reads and writes the JSON envelopes in which IOTICS carries a
// sample: base64 with a media type and a time. It allocates nothing but the
// buffer of a [Reader] and the errors.
//
//	{"sample":{"data":"eyJ0IjozMX0=","mime":"application/json","occurredAt":"2026-11-22T10:00:00Z"}}
//	{"interest":{…},"feedData":{"data":…,"mime":…,"occurredAt":…}}
//	{"inputId":{…},"message":{"data":…,"mime":…,"occurredAt":…}}
//
// The first is a share, the second what a follower receives, the third what an
// input receives.
package envelope

import "time"

const mime = "application/json"

// AppendShare appends the envelope in which data is shared. A time that is zero
// is left out, so that the host sets it; any other has to be in the years 0 to
// 9999.
func AppendShare(dst, data []byte, at time.Time) []byte {
	dst = append(dst, `{"sample":`...)
	return append(appendCarried(dst, data, at), '}')
}

// AppendFollow appends the envelope in which a follower receives data. The
// interest is a JSON value that says what is followed, and by whom. The time is
// as for [AppendShare].
func AppendFollow(dst, interest, data []byte, at time.Time) []byte {
	dst = append(dst, `{"interest":`...)
	dst = append(dst, interest...)
	dst = append(dst, `,"feedData":`...)
	return append(appendCarried(dst, data, at), '}')
}

func appendCarried(dst, data []byte, at time.Time) []byte {
	dst = append(dst, `{"data":"`...)
	dst = appendEncoded(dst, data)
	dst = append(dst, `","mime":"`+mime+`"`...)
	if !at.IsZero() {
		dst = append(dst, `,"occurredAt":"`...)
		dst = appendTime(dst, at)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}
