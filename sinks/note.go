package sinks

import "context"

// Note is what a sink can say of an attempt beside its error. It is kept with the
// record of the attempt, for people; nothing of it may be a secret.
type Note struct {
	Request string   // what was asked of whom, such as "POST hooks.example.com, 812 bytes"
	Answer  string   // what the receiver has said, such as "200 OK"; "" = the error says it
	Status  int      // of the answer, where it has one
	Has     []string // the recipients who have got it by this attempt, where some can have it without the others

	// Had are the recipients who have got it by attempts before, of this process or
	// another; nil: there were none. It asks the bus.
	Had func(context.Context) []string
}

type noteKey struct{}

// WithNote is a context in which NoteOf gives the note.
func WithNote(ctx context.Context, n *Note) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

// NoteOf is the note of an attempt, never nil. One goroutine at a time may use it,
// until Deliver returns.
func NoteOf(ctx context.Context) *Note {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok {
		return n
	}
	return &Note{}
}
