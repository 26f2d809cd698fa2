package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// defaultSent is how many attempts a list has when nobody says.
const defaultSent = 100

// deliveryParameters are what a question about attempts may have.
var deliveryParameters = []string{"sink", "alert", "twin", "failed", "since", "limit"}

// deliveryRoutes are about what sinks have tried.
func deliveryRoutes(e *engine.Engine) []access.Route {
	return []access.Route{{Pattern: "GET /api/v1/deliveries", Action: access.Read, Handler: atDesk(e, orRefuse(func(w http.ResponseWriter, r *http.Request) error {
		f, err := readSentFilter(r.URL.Query(), time.Now())
		if err != nil {
			return err
		}
		list, err := e.Sent(r.Context(), f)
		if errors.Is(err, engine.ErrQuestion) {
			answer(w, http.StatusNotFound, map[string]any{"error": err.Error()})
			return nil
		}
		if err != nil {
			return err
		}
		slices.Reverse(list)
		answer(w, http.StatusOK, map[string]any{"deliveries": append([]engine.Sent{}, list...)})
		return nil
	}))}}
}

func readSentFilter(query url.Values, now time.Time) (engine.SentFilter, error) {
	f := engine.SentFilter{Sink: query.Get("sink"), Alert: query.Get("alert"), Twin: query.Get("twin"), Limit: defaultSent}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(deliveryParameters, name) {
			return f, wrong("%s: no such parameter%s", name, strictjson.DidYouMean(name, deliveryParameters))
		}
	}
	if f.Alert != "" && !strings.HasPrefix(f.Alert, "al_") {
		return f, wrong("alert: got %q; want the whole id of an alert, al_…", f.Alert)
	}
	for name, read := range map[string]func(text string) error{
		"failed": func(text string) (err error) {
			if f.Failed, err = strconv.ParseBool(text); err != nil {
				return fmt.Errorf("got %q; want true or false", text)
			}
			return nil
		},
		"limit": func(text string) (err error) {
			if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxLimit {
				return fmt.Errorf("got %q; want 1 to %d", text, maxLimit)
			}
			return nil
		},
		"since": func(text string) (err error) { f.Since, err = readSince(text, now); return err },
	} {
		if text := query.Get(name); text != "" {
			if err := read(text); err != nil {
				return f, wrong("%s: %w", name, err)
			}
		}
	}
	return f, nil
}

// readSince reads a time, or how far back from now.
func readSince(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	back, err := engine.ParseSpan(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w, or a time such as 2026-11-02T10:00:00Z", err)
	}
	return now.Add(-back), nil
}
