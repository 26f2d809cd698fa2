// Package rules is the ground: a sample and a state in, outcomes and a state
// out. It knows no network, goroutine, clock or log, so the same samples give
// the same outcomes live, after a restart and in a replay.
package rules

import "time"

// Sample is one JSON object that a twin shared on one of its feeds.
type Sample struct {
	Twin, Feed string
	At         time.Time // occurredAt
	Data       []byte    // the JSON object as it came; the sample owns it until it has been judged
	Seq        uint64    // position in the stream, or line of the file, from 1
	Index      uint32    // position among the samples of one message, from 0
	Hops       uint8     // how many interactions made it; 0 for a device's own
	ID         string    // the sender's message id, if it gave one: sent twice, stored once
	Again      uint64    // 0, or the sequence of the message for which it is judged once more, by a rule that is new to its twin
	Refused    string    // why the source could not read it; it goes to the dead letters as it is

	reader *Reader // that has read it
	read   uint64  // as how many-th
}
