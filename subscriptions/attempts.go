package subscriptions

import (
	"hash/fnv"
	"strings"
	"time"
)

// DefaultRetry are the waits between the attempts to deliver a message: 75 h 35 m
// in all.
var DefaultRetry = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// OpenAfter is how many attempts in a row have to fail until the breaker of a
// subscription is open: new messages wait then, too, until an attempt succeeds.
const OpenAfter = 5

// Result says how an attempt has ended, and what becomes of the message.
type Result string

// The results.
const (
	Arrived Result = "arrived"
	Again   Result = "again"   // it failed, and is tried again
	GivenUp Result = "givenUp" // it failed for the last time, or for ever: a dead letter
	Gone    Result = "gone"    // the endpoint wants no more
	Dropped Result = "dropped" // it was not tried: the subscription has ended before
)

// Attempt is one entry of the delivery log. The last one of a subscription is
// also where its queue stands.
type Attempt struct {
	Message  string    `json:"message"`           // its id
	Job      string    `json:"job,omitempty"`     // what is delivered
	Seq      uint64    `json:"seq,omitempty"`     // of the job; those up to it are done, unless it is tried again
	Number   int       `json:"attempt,omitempty"` // from 1
	At       time.Time `json:"at"`
	Result   Result    `json:"result"`
	Status   int       `json:"status,omitempty"`   // of the answer
	Error    string    `json:"error,omitempty"`    // why it failed
	Took     float64   `json:"seconds"`            // of the attempt
	Next     time.Time `json:"next,omitzero"`      // when it is tried again, not before
	Failures int       `json:"failures,omitempty"` // in a row, of this message and those before
}

// Open says whether the breaker is open after this attempt.
func (a *Attempt) Open() bool { return a.Failures >= OpenAfter }

// Done is the number of the last job that is done.
func (a *Attempt) Done() uint64 {
	if a.Result == Again {
		return a.Seq - 1
	}
	return a.Seq
}

// Answer is what an attempt has met.
type Answer struct {
	Status int
	Err    error         // nil: it has arrived
	Never  bool          // to try again does not help
	Gone   bool          // nor to send anything else
	After  time.Duration // the endpoint wants to be left alone for so long
}

// mostWait is how long an endpoint may ask to be left alone.
const mostWait = 24 * time.Hour

// Judge says what becomes of the message of an attempt that has its Job, Seq,
// Number, At, Took and Message: one that was made at since, after so many failures
// in a row. The waits between attempts are retry, each up to a fifth more or less,
// and begin where an attempt ends: an endpoint that hangs is left alone, too.
func (a *Attempt) Judge(got Answer, since time.Time, failures int, retry []time.Duration) {
	a.Status = got.Status
	if got.Err == nil {
		a.Result, a.Failures = Arrived, 0
		return
	}
	a.Error, a.Failures = Cut(got.Err.Error()), failures+1
	switch {
	case got.Gone:
		a.Result = Gone
		return
	case got.Never:
		// The endpoint is there and answers: that is no failure of its own.
		a.Result, a.Failures = GivenUp, failures
		return
	case a.Number > len(retry):
		a.Result = GivenUp
		return
	}
	wait := shaken(retry[min(a.Failures, len(retry))-1], a.Job, a.Number)
	wait = max(wait, min(got.After, mostWait))
	a.Next = a.At.Add(time.Duration(a.Took * float64(time.Second))).Add(wait)
	// One that has waited behind others which failed is not tried for longer than they were.
	if failures >= a.Number && a.Next.Sub(since) > lasting(retry) {
		a.Result, a.Next = GivenUp, time.Time{}
		return
	}
	a.Result = Again
}

// Cut is the beginning of what went wrong, as much as an entry of the log has.
func Cut(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// lasting is how long a message is tried at most.
func lasting(retry []time.Duration) (sum time.Duration) {
	for _, wait := range retry {
		sum += wait
	}
	return sum + sum/5 + time.Minute
}

// shaken is a wait with up to a fifth more or less: the same for the same attempt.
func shaken(wait time.Duration, job string, number int) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(job))
	h.Write([]byte{byte(number)})
	part := float64(h.Sum32()%4001)/10000 - 0.2
	return wait + time.Duration(part*float64(wait))
}
