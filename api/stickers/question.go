package stickers

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// The contexts that are no accounts: whose stickers are meant.
const (
	system   = "system"   // anybody's
	personal = "personal" // the caller's account's
)

// maxPage is how many stickers a list has at most.
const maxPage = 100

// allOfThem is a limit that is none.
const allOfThem = math.MaxInt32

type page struct{ limit, offset int }

// question reads what is asked for by the path and by the parameters that are
// known, of which context is absent.
func (r room) question(req *http.Request, context string, known ...string) (engine.StickerQuery, page, error) {
	by := who(req.Context())
	q := engine.StickerQuery{Twin: req.PathValue("twin"), Color: req.PathValue("color"), Seen: by.seen, First: by.account}
	if q.Color == "" {
		q.First = "" // a list is by time alone
	}
	p := page{limit: maxPage}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return q, p, trusted.Errorf(trusted.Invalid, "the query cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return q, p, trusted.Errorf(trusted.Invalid, "%.60q: no such parameter%s", name, strictjson.OneOf(name, known))
		}
		if name != "context" && len(query[name]) > 1 {
			return q, p, trusted.Errorf(trusted.Invalid, "%s is there %d times; want it once", name, len(query[name]))
		}
	}
	contexts := query["context"]
	if len(contexts) == 0 {
		contexts = []string{context}
	}
	var errs [6]error
	q.Accounts, errs[0] = readContexts(contexts, by.account)
	if query.Has("color") {
		q.Color = query.Get("color")
		errs[1] = rules.CheckStickerColor(q.Color)
	}
	q.From, errs[2] = readTime("ge", query.Get("ge"))
	q.To, errs[3] = readTime("le", query.Get("le"))
	p.limit, errs[4] = readNumber("limit", query.Get("limit"), p.limit, 1, maxPage)
	p.offset, errs[5] = readNumber("offset", query.Get("offset"), 0, 0, math.MaxInt32)
	if err := strictjson.Join(errs[:]...); err != nil {
		return q, p, trusted.Errorf(trusted.Invalid, "%v", err)
	}
	return q, p, nil
}

// readContexts gives the accounts whose stickers are meant; nil: all.
func readContexts(list []string, own string) (accounts []string, err error) {
	for text := range strings.SplitSeq(strings.Join(list, ","), ",") {
		switch id, err := uuid.Parse(text); {
		case text == system:
			return nil, nil
		case text == personal:
			accounts = append(accounts, own)
		case err != nil:
			return nil, fmt.Errorf("context %.60q; want system, personal, or the UUIDs of accounts with commas between them", text)
		default:
			accounts = append(accounts, id.String())
		}
	}
	return accounts, nil
}

// readTime reads seconds since 1970; the zero time for none.
func readTime(name, text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds <= math.MaxInt32*100) {
		return at, fmt.Errorf("%s=%.60s; want a time in seconds since 1970, such as 1700000000.000", name, text)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))), nil
}

func readNumber(name, text string, absent, least, most int) (int, error) {
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s=%.60s; want %d to %d", name, text, least, most)
	}
	return n, nil
}
