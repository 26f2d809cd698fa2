package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

// workPatience is how long a request works on many letters before it says where to
// go on.
const workPatience = 5 * time.Second

// letters is the part of the API that is about dead letters.
type letters struct {
	engine *engine.Engine
	guard  *access.Guard
}

func deadLetterRoutes(d *door, e *engine.Engine) (out []access.Route) {
	l := letters{e, d.guard}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/deadletters":              l.list,
		"DELETE /api/v1/deadletters":           l.each(e.DropDeadLetter),
		"POST /api/v1/deadletters/retry":       l.each(e.RetryDeadLetter),
		"GET /api/v1/deadletters/{seq}":        l.one(l.show),
		"DELETE /api/v1/deadletters/{seq}":     l.one(e.DropDeadLetter),
		"POST /api/v1/deadletters/{seq}/retry": l.one(e.RetryDeadLetter),
	} {
		out = append(out, access.Route{Pattern: pattern, Action: readOr(pattern, access.Operate), Handler: orRefuse(serve)})
	}
	return out
}

// letterQuestion is a query for dead letters.
type letterQuestion struct {
	filter      engine.LetterFilter
	limit       int
	all, dryRun bool
}

// What a query may have: of a list, and of something that is done to many.
var (
	letterFilters   = []string{"stage", "sink", "twin", "reason", "from", "to"}
	listParameters  = append([]string{"limit"}, letterFilters...)
	eachParameters  = append([]string{"all", "dryRun"}, letterFilters...)
	letterParameter = map[string]func(q *letterQuestion, value string) error{
		"stage": func(q *letterQuestion, value string) error {
			q.filter.Stage = value
			return engine.CheckLetterStage(value)
		},
		"sink":   func(q *letterQuestion, value string) error { q.filter.Sink = value; return nil },
		"twin":   func(q *letterQuestion, value string) error { q.filter.Twin = value; return nil },
		"reason": func(q *letterQuestion, value string) error { q.filter.Reason = value; return nil },
		"from":   func(q *letterQuestion, value string) error { return number(&q.filter.From, value) },
		"to":     func(q *letterQuestion, value string) error { return number(&q.filter.To, value) },
		"all":    func(q *letterQuestion, value string) error { return yesOrNo(&q.all, value) },
		"dryRun": func(q *letterQuestion, value string) error { return yesOrNo(&q.dryRun, value) },
		"limit": func(q *letterQuestion, value string) (err error) {
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > maxLimit {
				return fmt.Errorf("got %q; want 1 to %d", value, maxLimit)
			}
			return nil
		},
	}
)

func number(into *uint64, value string) (err error) {
	if *into, err = strconv.ParseUint(value, 10, 64); err != nil || *into == 0 {
		return fmt.Errorf("got %q; want the number of a dead letter", value)
	}
	return nil
}

func yesOrNo(into *bool, value string) (err error) {
	if *into, err = strconv.ParseBool(value); err != nil {
		return fmt.Errorf("got %q; want true or false", value)
	}
	return nil
}

func readLetterQuestion(query url.Values, known []string) (letterQuestion, error) {
	q := letterQuestion{limit: defaultLimit}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return q, wrong("%s: no such parameter%s", name, strictjson.DidYouMean(name, known))
		}
		for _, value := range query[name] {
			if err := letterParameter[name](&q, value); err != nil {
				return q, wrong("%s: %w", name, err)
			}
		}
	}
	return q, nil
}

// list gives the letters that are meant, the newest first.
func (l letters) list(w http.ResponseWriter, r *http.Request) error {
	q, err := readLetterQuestion(r.URL.Query(), listParameters)
	if err != nil {
		return err
	}
	found, total, err := l.engine.DeadLetters(r.Context(), q.filter, q.limit)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"total": total, "deadLetters": found})
	return nil
}

// show gives a letter.
func (l letters) show(ctx context.Context, seq uint64) (engine.Letter, error) {
	letter, err := l.engine.DeadLetter(ctx, seq)
	return l.seen(ctx, letter), err
}

// seen is a letter as the caller may see it: what a sticker or a notice says is for its
// recipients, so a user who does not act on letters is only told that there is one.
func (l letters) seen(ctx context.Context, letter engine.Letter) engine.Letter {
	by := access.From(ctx)
	if by.Recipients() != nil && !letter.Common() && l.guard.May(ctx, by, access.Operate, "") != nil {
		letter.Data, letter.Text, letter.Base64 = nil, "", nil
	}
	return letter
}

// one does something with the letter that the path names.
func (letters) one(do func(context.Context, uint64) (engine.Letter, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var seq uint64
		if err := number(&seq, r.PathValue("seq")); err != nil {
			return badRequest{err}
		}
		letter, err := do(r.Context(), seq)
		if err != nil {
			return err
		}
		answer(w, http.StatusOK, letter)
		return nil
	}
}

// each does it with all that are meant, when it is said that all of them are.
func (l letters) each(do func(context.Context, uint64) (engine.Letter, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		q, err := readLetterQuestion(r.URL.Query(), eachParameters)
		if err != nil {
			return err
		}
		if !q.all || q.dryRun {
			_, total, err := l.engine.DeadLetters(r.Context(), q.filter, 0)
			if err == nil && !q.dryRun {
				err = wrong("all is missing; want all=true for the %d dead letters that are meant", total)
			}
			if err != nil {
				return err
			}
			answer(w, http.StatusOK, map[string]any{"total": total})
			return nil
		}
		work, err := l.engine.EachDeadLetter(r.Context(), q.filter, workPatience, do)
		if err != nil {
			return fmt.Errorf("after %d letters: %w", work.Done, err)
		}
		answer(w, http.StatusOK, work)
		return nil
	}
}
