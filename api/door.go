package api

import (
	"cmp"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
)

// door is what every request goes through: where it comes from, who sends it, how
// often, and what becomes of it is looked at here, once for all routes.
type door struct {
	guard   *access.Guard
	origins access.Origins
	proxied bool
	limit   *limiter
	audit   access.Audit
	log     zerolog.Logger
	counts  counts
	forms   map[string]refuser // how the trees of routes refuse, by the first segment of their paths
}

type refuser = func(http.ResponseWriter, *http.Request, error)

// open says whether nobody has to show who they are.
func (d *door) open() bool { return d.guard.Open() }

// outside is what is done before a request gets to its route.
func (d *door) outside(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &told{ResponseWriter: w, code: http.StatusOK}
		defer d.settle(to, r)
		if d.open() {
			if err := d.origins.Foreign(r); err != nil {
				d.counts.refuse(reasonForeign)
				d.refuseElsewhere(to, r, err)
				return
			}
		}
		if d.cors(to, r, mux) {
			return
		}
		mux.ServeHTTP(to, r)
	})
}

// settle counts what became of a request. A handler that panics has a fault of
// ours: the client is told that it failed, and the log why.
func (d *door) settle(to *told, r *http.Request) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // as of net/http
		d.log.Error().Any("panic", fault).Str("route", r.Pattern).Bytes("stack", debug.Stack()).Msg("a request failed by a fault of the engine; please report it")
		if !to.begun {
			answer(to, http.StatusInternalServerError, map[string]any{"error": "a fault of the engine; its log has more"})
			fault = nil
		}
	}
	d.counts.request(cmp.Or(r.Pattern, "none"), to.code)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
}

// guarded lets in who may do what the route does, as often as they may.
func (d *door) guarded(r access.Route) http.Handler {
	most := cmp.Or(r.MaxBody, access.MaxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		begun := time.Now()
		ctx, twin := access.Watched(req.Context())
		req = req.WithContext(ctx)
		caller, err := d.admit(req, r)
		if d.audit != nil && r.Changes() && !wasPassedOn(ctx) {
			to := &told{ResponseWriter: w, code: http.StatusOK}
			w = to
			defer func() { d.record(begun, req, r, caller, err, cmp.Or(twin(), req.PathValue("twin")), to.code) }()
		}
		if err != nil {
			d.turnAway(w, req, r.Refuse, err)
			return
		}
		req.Body = bound(w, req.Body, most)
		r.Handler.ServeHTTP(w, req.WithContext(access.With(ctx, caller)))
	})
}

// admit says who sends a request, or why it is refused. Those who are not known
// share what their address may ask.
func (d *door) admit(req *http.Request, r access.Route) (*access.Caller, error) {
	caller := access.Anybody
	var err error
	if !r.Action.Tokenless() {
		if caller, err = d.guard.Caller(req.Context(), tokenOf(req, r.QueryToken)); err == nil {
			err = d.guard.May(req.Context(), caller, r.Action, "")
		}
	}
	if r.Unlimited || wasPassedOn(req.Context()) {
		return caller, err
	}
	who := "address " + client(d.from(req))
	if caller != nil && caller != access.Anybody {
		who = "caller " + caller.Name
	}
	if often := d.limit.take(who); often != nil {
		return caller, often
	}
	return caller, err
}

// from is the address that a request comes from: as the nearest proxy says, where
// there is one.
func (d *door) from(r *http.Request) string {
	said := r.Header.Values("X-Forwarded-For")
	if !d.proxied || len(said) == 0 {
		return r.RemoteAddr
	}
	last := said[len(said)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if _, err := netip.ParseAddr(last); err != nil {
		return r.RemoteAddr
	}
	return last
}

// record tells the audit log of something that changes something.
func (d *door) record(begun time.Time, req *http.Request, r access.Route, caller *access.Caller, refused error, twin string, status int) {
	path := req.URL.Path
	if pin := req.PathValue("pin"); pin != "" {
		path = strings.ReplaceAll(path, pin, "…") // it may hold yet
	}
	e := access.Entry{
		At: begun, From: d.from(req), Method: req.Method, Path: path, Action: r.Action, Twin: twin, Status: status, Took: time.Since(begun),
	}
	if caller != nil {
		e.Caller, e.Agent = caller.Name, caller.Agent
	}
	if refused != nil {
		e.Refused = reasonOf(refused)
	}
	d.audit(e)
}

// turnAway refuses in the form of a route.
func (d *door) turnAway(w http.ResponseWriter, r *http.Request, form refuser, err error) {
	d.counts.refuse(reasonOf(err))
	if form == nil {
		refuse(w, err)
		return
	}
	refusalHeaders(w, err)
	form(w, r, err)
}

// refuseElsewhere refuses where no route is at hand, in the form of the routes
// whose first segment is the path's.
func (d *door) refuseElsewhere(w http.ResponseWriter, r *http.Request, err error) {
	if form := d.forms[segment(r.URL.Path)]; form != nil {
		form(w, r, err)
		return
	}
	refuse(w, err)
}

// refusalHeaders are those that belong to a refusal in any form.
func refusalHeaders(w http.ResponseWriter, err error) {
	refused, ok := access.AsRefused(err)
	if !ok {
		return
	}
	if refused.Code == access.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if refused.After > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(refused.After)))
	}
}

// elsewhere answers at all other paths with what there is.
func (d *door) elsewhere(mux *http.ServeMux, routes []access.Route) {
	d.forms = map[string]refuser{}
	var there []string
	for _, r := range routes {
		if !strings.HasSuffix(r.Pattern, "/{$}") { // which is there without the slash too
			there = append(there, r.Pattern)
		}
		if r.Refuse != nil {
			d.forms[segment(path(r.Pattern))] = r.Refuse
		}
	}
	slices.SortFunc(there, func(a, b string) int { return cmp.Or(cmp.Compare(path(a), path(b)), cmp.Compare(a, b)) })
	mux.Handle("/", d.guarded(access.Route{Action: access.Open, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		no := &access.Refused{Code: access.Absent, Why: "nothing at " + shortened(r.URL.Path)}
		body := map[string]any{"want": there}
		if allowed := methods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			no = &access.Refused{Code: access.Unsupported, Why: "no " + shortened(r.Method) + " at " + shortened(r.URL.Path)}
			body["want"] = allowed
		}
		if form := d.forms[segment(r.URL.Path)]; form != nil {
			form(w, r, no)
			return
		}
		body["error"] = no.Error()
		answer(w, no.Status(), body)
	})}))
}

// corsHeaders are those that pages may send; all that begin with Iotics- too.
var corsHeaders = []string{"accept", "authorization", "content-encoding", "content-type", "idempotency-key", "if-match", "last-event-id"}

// corsAge is for how many seconds a browser need not ask again.
const corsAge = "600"

// cors lets the pages of some origins read what is answered, and tells browsers
// that ask before (preflight) what these pages may send: then it has answered.
func (d *door) cors(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) (answered bool) {
	if len(d.origins) == 0 {
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !d.origins.Has(origin) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Allow, Iotics-ClientAppId, Iotics-ClientRef, Iotics-TransactionRef, Retry-After, Warning, WWW-Authenticate")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Add("Vary", "Access-Control-Request-Method")
	header.Add("Vary", "Access-Control-Request-Headers")
	header.Set("Access-Control-Allow-Methods", strings.Join(methods(mux, r), ", "))
	if may := mayBeSent(r.Header.Get("Access-Control-Request-Headers")); len(may) > 0 {
		header.Set("Access-Control-Allow-Headers", strings.Join(may, ", "))
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header.Set("Access-Control-Allow-Private-Network", "true")
	}
	header.Set("Access-Control-Max-Age", corsAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}

// mayBeSent are those of the headers that pages may send.
func mayBeSent(asked string) (may []string) {
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if slices.Contains(corsHeaders, name) || strings.HasPrefix(name, "iotics-") && !slices.Contains(may, name) {
			may = append(may, name)
		}
	}
	return may
}

// told is a ResponseWriter that keeps what was answered.
type told struct {
	http.ResponseWriter
	code  int
	begun bool
}

// WriteHeader makes it a ResponseWriter.
func (t *told) WriteHeader(code int) {
	if !t.begun {
		t.code, t.begun = code, code >= http.StatusOK || code == http.StatusSwitchingProtocols
	}
	t.ResponseWriter.WriteHeader(code)
}

// Write makes it a ResponseWriter.
func (t *told) Write(b []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (t *told) Unwrap() http.ResponseWriter { return t.ResponseWriter }
