// Package sinktest is the contract of sinks.Sink as a test, which every kind of
// sink runs. Whether an outcome has really arrived, each kind tests itself.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// Alert is an outcome that every kind of sink takes.
func Alert() rules.Outcome {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return rules.Outcome{
		Kind: rules.Alert, Interaction: "overheating", Rule: "too-hot", Twin: "machine_1", At: at, Data: []byte(`{"temperature":31.2}`), Seq: 17, Source: "machine_1",
		ID: "al_55n8fqhnwb2bt0rfhw83whrv71", State: rules.StateFiring, Severity: "critical", Starts: at, Summary: "machine_1 is at 31.2",
		Labels: map[string]string{"site": "brno"}, Reason: rules.ReasonCondition,
	}
}

// Run holds a kind of sink to the contract. Each clause opens a sink of its
// own, whose receiver takes everything; what open starts, it ends in t.Cleanup.
// A sink that is a sinks.Closer is closed.
func Run(t *testing.T, open func(t *testing.T) sinks.Sink) {
	for _, c := range clauses {
		before := goleak.IgnoreCurrent()
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			require.NoError(t, c.check(s))
			require.NoError(t, closing(s))
		})
		assert.NoError(t, left(before), "%s: the sink has left a goroutine", c.name)
	}
}

type clause struct {
	name  string
	check func(sinks.Sink) error
}

var clauses = []clause{
	{"takes one outcome twice", twice},
	{"takes many at once", atOnce},
	{"says no when ctx has ended", ctxEnded},
	{"says for good what it cannot take", everyKind},
	{"survives every name", everyName},
	{"leaves the outcome as it is", unchanged},
}

// soon is how long a sink may take whose receiver is there, however busy the machine is.
const soon = time.Minute

// left says what still runs that did not before, when it has had the time to end.
func left(before goleak.Option) error {
	err := goleak.Find(before)
	for limit := time.Now().Add(soon); err != nil && time.Now().Before(limit); {
		err = goleak.Find(before)
	}
	return err
}

func deliver(ctx context.Context, s sinks.Sink, o rules.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- sinks.Permanent(fmt.Errorf("panic: %v", p))
			}
		}()
		done <- s.Deliver(ctx, o)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * soon):
		return errors.New("a delivery goes on after ctx has ended")
	}
}

func twice(s sinks.Sink) error {
	for i := range 2 {
		if err := deliver(context.Background(), s, Alert()); err != nil {
			return fmt.Errorf("delivery %d: %w", i+1, err)
		}
	}
	return nil
}

func atOnce(s sinks.Sink) error {
	const many, each = 16, 8
	done := make(chan error, many)
	for i := range many {
		go func() {
			o := Alert()
			o.Twin = fmt.Sprintf("machine_%d", i)
			var errs []error
			for range each {
				errs = append(errs, deliver(context.Background(), s, o))
			}
			done <- errors.Join(errs...)
		}()
	}
	var errs []error
	for range many {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

func ctxEnded(s sinks.Sink) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	start := time.Now()
	err := deliver(ctx, s, Alert())
	switch {
	case err == nil:
		return errors.New("nil although ctx had ended; want an error")
	case sinks.IsPermanent(err):
		return fmt.Errorf("gave up because ctx had ended: %w", err)
	case time.Since(start) > soon/2:
		return fmt.Errorf("took %v although ctx had ended", time.Since(start))
	}
	return nil
}

func everyKind(s sinks.Sink) error {
	kinds := []rules.Kind{rules.Output, rules.Alert, rules.Notification, rules.Sticker, rules.Command, "", "no such kind"}
	for _, kind := range kinds {
		o := Alert()
		o.Kind, o.Feed = kind, "temperature_status"
		if err := deliver(context.Background(), s, o); err != nil && !sinks.IsPermanent(err) {
			return fmt.Errorf("kind %q: %w; want nil or an error marked permanent", kind, err)
		}
	}
	return nil
}

func everyName(s sinks.Sink) error {
	names := []string{"", " ", ".", "*", ">", "a b.c", "did:iotics:iotABC", "a/b+c#d%e", "a\r\nb: c", "\x00", "\xff", "é日本", strings.Repeat("x", 5000)}
	for _, name := range names {
		for _, o := range []rules.Outcome{Alert(), {Kind: rules.Output, At: Alert().At, Data: []byte("{}")}} {
			o.Interaction, o.Rule, o.Twin, o.Feed, o.ID, o.Severity, o.Summary = name, name, name, name, name, name, name
			o.Labels = map[string]string{name: name}
			err := deliver(context.Background(), s, o)
			if err != nil && (!sinks.IsPermanent(err) || strings.HasPrefix(err.Error(), "panic: ")) {
				return fmt.Errorf("name %.20q: %w; want nil or an error marked permanent", name, err)
			}
		}
	}
	return deliver(context.Background(), s, Alert())
}

func unchanged(s sinks.Sink) error {
	o := Alert()
	if err := deliver(context.Background(), s, o); err != nil {
		return err
	}
	if want := Alert(); !bytes.Equal(o.Data, want.Data) || !maps.Equal(o.Labels, want.Labels) {
		return fmt.Errorf("outcome with data %s and labels %v after Deliver; want them as before", o.Data, slices.Collect(maps.Keys(o.Labels)))
	}
	return nil
}

func closing(s sinks.Sink) error {
	if c, ok := s.(sinks.Closer); ok {
		return c.Close()
	}
	return nil
}
