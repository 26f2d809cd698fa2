package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// explainPatience is how long the stream may be judged again for one question.
const explainPatience = 55 * time.Second

// explainParameters are what a question may have.
var explainParameters = []string{"rule", "twin", "at", "window", "since"}

// serveExplain answers why a rule fired, or why it did not.
func explainRoutes(e *engine.Engine) []access.Route {
	return []access.Route{{Pattern: "GET /api/v1/explain", Action: access.Read, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), explainPatience)
		defer cancel()
		q, err := readExplain(r.URL.Query(), time.Now())
		if err != nil {
			refuse(w, err)
			return
		}
		found, err := e.Explain(ctx, q)
		switch {
		case errors.Is(err, engine.ErrQuestion):
			answer(w, http.StatusNotFound, map[string]any{"error": err.Error()})
		case errors.Is(err, context.DeadlineExceeded):
			answer(w, http.StatusServiceUnavailable, map[string]any{"error": fmt.Sprintf("the stream could not be judged again in %s; want since, such as 24h, which says how far back to begin", explainPatience)})
		case err != nil:
			refuse(w, err)
		default:
			texts := make([]string, len(found))
			for i, x := range found {
				texts[i] = x.Text()
			}
			answer(w, http.StatusOK, map[string]any{"explained": found, "text": strings.Join(texts, "\n")})
		}
	})}}
}

func readExplain(query url.Values, now time.Time) (engine.Question, error) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(explainParameters, name) {
			return engine.Question{}, wrong("%s: no such parameter%s", name, strictjson.DidYouMean(name, explainParameters))
		}
	}
	q := engine.Question{About: query.Get("rule"), Twin: query.Get("twin"), At: query.Get("at")}
	if q.About == "" {
		return q, wrong("rule is missing; want an interaction, interaction/rule, or the id of an alert")
	}
	err := q.Check()
	if err != nil {
		return q, wrong("at: %w", err)
	}
	if text := query.Get("window"); text != "" {
		if q.Window, err = engine.ParseSpan(text); err != nil {
			return q, wrong("window: %w", err)
		}
	}
	text := query.Get("since")
	if text == "" {
		return q, nil
	}
	if q.Since, err = readSince(text, now); err != nil {
		return q, wrong("since: %w", err)
	}
	return q, nil
}
