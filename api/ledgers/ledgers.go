// Package ledgers is the ways in to twins and their ledgers as Trusted Twin has
// them: a public description of a twin, and what each account keeps of it.
package ledgers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/twins"
)

type room struct {
	engine *engine.Engine
	guard  *access.Guard // nil: everybody may everything
	now    func() time.Time
}

// The actions, which are operations of Trusted Twin.
const (
	scanTwins     access.Action = "scan_twins"
	createTwin    access.Action = "create_twin"
	getTwin       access.Action = "get_twin"
	updateTwin    access.Action = "update_twin"
	terminateTwin access.Action = "terminate_twin"
	addEntry      access.Action = "add_twin_ledger_entry"
	getEntry      access.Action = "get_twin_ledger"
	updateEntry   access.Action = "update_twin_ledger_entry"
	deleteEntry   access.Action = "delete_twin_ledger_entry"
	getHistory    access.Action = "get_twin_ledger_entry_history"
	getValue      access.Action = "get_twin_ledger_entry_value"
	updateValue   access.Action = "update_twin_ledger_entry_value"
)

// Routes are the ways in.
func Routes(e *engine.Engine, guard *access.Guard, now func() time.Time) []access.Route {
	r := room{e, guard, now}
	route := func(pattern string, action access.Action, f func(*http.Request) (int, any, error)) access.Route {
		return access.Route{Pattern: pattern, Action: action, Handler: trusted.Serve(refusal, f)}
	}
	return trusted.Routes(
		route("GET /twins", scanTwins, r.scan),
		route("POST /twins", createTwin, r.create),
		route("GET /twins/{twin}", getTwin, r.get),
		route("PATCH /twins/{twin}", updateTwin, r.update),
		route("DELETE /twins/{twin}", terminateTwin, r.terminate),
		route("POST /twins/{twin}/ledgers/{ledger}", addEntry, r.addEntries),
		route("GET /twins/{twin}/ledgers/{ledger}", getEntry, r.getLedger),
		route("PATCH /twins/{twin}/ledgers/{ledger}", updateEntry, r.updateEntries),
		route("DELETE /twins/{twin}/ledgers/{ledger}", deleteEntry, r.deleteEntries),
		route("GET /twins/{twin}/ledgers/{ledger}/value", getValue, r.getValues),
		route("PATCH /twins/{twin}/ledgers/{ledger}/value", updateValue, r.setValues),
		route("GET /twins/{twin}/ledgers/{ledger}/history", getHistory, r.histories),
		route("GET /twins/{twin}/ledgers/{ledger}/entries/{entry}/history", getHistory, r.history),
	)
}

// refusal is an error as it is answered.
func refusal(err error) error {
	switch {
	case errors.Is(err, twins.ErrLedgerFull):
		return trusted.Errorf(trusted.QuotaViolation, "%v", err)
	case errors.Is(err, engine.ErrUntold):
		return &trusted.Error{Status: http.StatusServiceUnavailable, Subcode: trusted.Unavailable, Description: err.Error()}
	case errors.Is(err, engine.ErrNoTwin):
		return trusted.Missing("%v", err)
	}
	return err
}

// asker is who asks.
type asker struct {
	account, user, role string
	everybody           bool // sees what all accounts have
}

func who(r *http.Request) asker {
	account, user, role := trusted.Actor(r.Context())
	return asker{account, user, role, access.From(r.Context()).Everybody()}
}

// may says whether the caller may change a twin and what is kept of it: an API key
// may be for some twins only.
func may(r *http.Request, twin string) error {
	access.Note(r.Context(), twin)
	if c := access.From(r.Context()); !c.Reaches(twin) {
		return access.Deny("%s may not change twin %q", c.Name, cut(twin))
	}
	return nil
}

// wrong is an error of a body that was read.
func wrong(err error) error {
	if err == nil {
		return nil
	}
	return trusted.Errorf(trusted.Invalid, "%v", err)
}

// query has the parameters of a request, each once, and only those that are known.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, trusted.Errorf(trusted.Invalid, "the query cannot be read")
	}
	for name, values := range q {
		switch {
		case name == access.TokenParameter:
		case !slices.Contains(known, name):
			return nil, trusted.Errorf(trusted.Invalid, "parameter %q: there is none%s", cut(name), strictjson.DidYouMean(name, known))
		case len(values) > 1 && name != "entries":
			return nil, trusted.Errorf(trusted.Invalid, "parameter %q is there %d times; want it once", name, len(values))
		}
	}
	return q, nil
}

// cut is the beginning of what a client has sent.
func cut(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// parameter is one that parse reads, and absent where it is not there.
func parameter[T any](q url.Values, name string, absent T, want string, parse func(string) (T, error)) (T, error) {
	if !q.Has(name) {
		return absent, nil
	}
	value, err := parse(q.Get(name))
	if err != nil {
		err = trusted.Errorf(trusted.Invalid, "parameter %q: got %q; want %s", name, cut(q.Get(name)), want)
	}
	return value, err
}

// number is a parameter between 1 and most, which is its default.
func number(q url.Values, name string, most int) (int, error) {
	return parameter(q, name, most, fmt.Sprintf("a number from 1 to %d", most), func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if n < 1 || n > most {
			err = strconv.ErrRange
		}
		return n, err
	})
}

// flag is a parameter that is true unless it says false.
func flag(q url.Values, name string) (bool, error) {
	return parameter(q, name, true, "true or false", strconv.ParseBool)
}

// timestamp is a parameter of seconds; 0 where it is absent.
func timestamp(q url.Values, name string) (twins.Timestamp, error) {
	return parameter(q, name, 0, "seconds since 1970 such as 1700000000.000", twins.ParseTimestamp)
}

// entriesQuery is the query of a request that may name entries, and their names;
// nil: none is named.
func entriesQuery(r *http.Request, known ...string) (q url.Values, list []string, err error) {
	if q, err = query(r, append([]string{"entries"}, known...)...); err != nil {
		return nil, nil, err
	}
	for _, some := range q["entries"] {
		for name := range strings.SplitSeq(some, ",") {
			if err := twins.CheckEntryName(name); err != nil {
				return nil, nil, trusted.Errorf(trusted.Invalid, "parameter %q: %v", "entries", err)
			}
			list = append(list, name)
		}
	}
	return q, list, nil
}

func newID() string { return uuid.NewString() }
