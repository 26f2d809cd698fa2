package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
)

// wordList is an outbox of documents that are lists of words, those in capitals
// still to be told.
type wordList struct {
	mu      sync.Mutex
	told    []string
	trouble map[string]error // for the first time that a word is told
	during  func(word string)
}

func (w *wordList) outbox() outbox[string] {
	return outbox[string]{
		shelf: bus.Ledgers,
		read: func(text string) (unsent []string, _ error) {
			if text == "unreadable" {
				return nil, errors.New("cannot be read")
			}
			for word := range strings.FieldsSeq(text) {
				if word == strings.ToUpper(word) {
					unsent = append(unsent, word)
				}
			}
			return unsent, nil
		},
		tell: w.tell,
		drop: func(there string, told []string) (string, error) {
			all := strings.Fields(there)
			for i, word := range all {
				if slices.Contains(told, word) {
					all[i] = strings.ToLower(word)
				}
			}
			return strings.Join(all, " "), nil
		},
	}
}

func (w *wordList) tell(_ context.Context, document, word string) error {
	if w.during != nil {
		w.during(word)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.trouble[word]
	delete(w.trouble, word)
	if err == nil {
		w.told = append(w.told, document+":"+word)
	}
	return err
}

func (w *wordList) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

func TestOutbox(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: DataDir(t), Partitions: 1})
	require.NoError(t, err)
	defer b.Close()
	var log Log
	e := &Engine{bus: b, log: zerolog.New(&log)}
	put := func(id, text string) {
		require.NoError(t, e.editDocument(t.Context(), bus.Ledgers, id, func(string) (string, error) { return text, nil }))
	}
	is := func(id, want string) {
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			text, _, err := b.Document(t.Context(), bus.Ledgers, id)
			assert.NoError(c, err)
			assert.Equal(c, want, text)
		}, time.Minute, 5*time.Millisecond)
	}
	put("a", "one TWO THREE")
	put("b", "quiet")
	put("c", "unreadable")
	put("d", "LARGE")

	w := &wordList{trouble: map[string]error{"THREE": errors.New("the bus is away"), "LARGE": bus.ErrTooLarge}}
	w.during = func(word string) {
		if word == "LATE" { // while it is told, the document changes
			put("e", "LATE more MORE")
		}
	}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runOutbox(ctx, e, w.outbox()) }()
		return func() { cancel(); assert.NoError(t, <-done) }
	}
	stop := run()
	is("a", "one two three")
	is("d", "large")
	put("e", "LATE")
	is("e", "late more more")
	stop()
	put("b", "quiet MEANWHILE")
	defer run()()
	is("b", "quiet meanwhile")
	is("c", "unreadable")

	for _, want := range []string{"a:TWO", "a:THREE", "e:LATE", "e:MORE", "b:MEANWHILE"} {
		assert.Contains(t, w.all(), want)
	}
	assert.NotContains(t, w.all(), "d:LARGE")
	assert.Contains(t, log.String(), "not told: it is too large")
	assert.Contains(t, log.String(), `document \"c\": cannot be read`)
	assert.Contains(t, log.String(), "the bus is away")
}
