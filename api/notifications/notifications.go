// Package notifications is the way in to notifications: a webhook is subscribed
// to a topic, confirmed, refreshed and ended as clients of Trusted Twin do it.
package notifications

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
	"tocsin.internal/engine"
	"tocsin.internal/internal/outbound"
	"tocsin.internal/subscriptions"
)

// Options say what a server offers.
type Options struct {
	Engine  *engine.Engine
	Public  string // URL under which clients reach the API; "": as the request says
	Proxied bool   // a proxy before it sets X-Forwarded-Proto and X-Forwarded-Host
}

type room struct{ Options }

// patience is how long a client waits for an engine that catches up.
const patience = 15 * time.Second

// Routes are the ways in. Who has the token of a subscription need not show
// anything else.
func Routes(o Options) []access.Route {
	r := room{o}
	route := func(pattern string, action access.Action, serve func(*http.Request) (any, error)) access.Route {
		return access.Route{Pattern: pattern, Action: action, Handler: trusted.Serve(refusal, func(req *http.Request) (int, any, error) {
			ctx, cancel := context.WithTimeout(req.Context(), patience)
			defer cancel()
			answer, err := serve(req.WithContext(ctx))
			return http.StatusOK, answer, err
		})}
	}
	return trusted.Routes(
		route("POST /notifications/webhooks", "webhook_subscribe", r.subscribe),
		route("GET /notifications/webhooks", access.Open, r.confirm),
		route("PATCH /notifications/webhooks", access.Open, r.refresh),
		route("DELETE /notifications/webhooks", access.Open, r.unsubscribe),
		route("GET /notifications/webhooks/{account}", access.Open, r.confirm),
		route("PATCH /notifications/webhooks/{account}", access.Open, r.refresh),
		route("DELETE /notifications/webhooks/{account}", access.Open, r.unsubscribe),
	)
}

// refusal is an error as it is answered.
func refusal(err error) error {
	switch {
	case errors.Is(err, engine.ErrNoSubscription):
		return trusted.Missing("subscription not found")
	case errors.Is(err, subscriptions.ErrRequest):
		return trusted.Errorf(trusted.Invalid, "%v", err)
	case errors.Is(err, outbound.ErrForbidden):
		return trusted.Errorf(trusted.Invalid, "callback_url: %v", err)
	case errors.Is(err, engine.ErrTooMany):
		return trusted.Errorf(trusted.QuotaViolation, "%v", err)
	case errors.Is(err, engine.ErrNotAtDesk), errors.Is(err, context.DeadlineExceeded):
		return &access.Refused{Code: access.Unavailable, Why: err.Error(), After: time.Second}
	}
	return err
}

// subscribed is the answer to who has subscribed.
type subscribed struct {
	CallbackURL  string          `json:"callback_url"`
	Subscription json.RawMessage `json:"subscription"`
	ServerSecret string          `json:"server_secret,omitempty"`
}

// told is the answer about a subscription; it has the server's secret where the
// request has just given the client's.
func told(is *subscriptions.Subscription, r *subscriptions.Request, urls bool) subscribed {
	out := subscribed{CallbackURL: is.CallbackURL, Subscription: is.Describe(urls)}
	if r.ClientSecret != "" {
		out.ServerSecret = is.ServerSecret
	}
	return out
}

// seconds are how long something is to hold; the longest that it may where nobody
// says.
func seconds(expires *int) time.Duration {
	if expires == nil {
		return subscriptions.Longest
	}
	if *expires < 0 || *expires > int(subscriptions.Longest/time.Second) {
		return -1
	}
	return time.Duration(*expires) * time.Second
}

func (r room) subscribe(req *http.Request) (any, error) {
	var form struct {
		CallbackURL  string  `json:"callback_url" strict:"required"`
		Topic        string  `json:"topic" strict:"required"`
		ClientSecret *string `json:"client_secret"`
		Expires      *int    `json:"expires"`
	}
	if _, err := trusted.Read(req, &form); err != nil {
		return nil, err
	}
	ask := subscriptions.Request{CallbackURL: form.CallbackURL, Topic: form.Topic, ClientSecret: text(form.ClientSecret), Expires: seconds(form.Expires)}
	if form.ClientSecret != nil && ask.ClientSecret == "" {
		return nil, trusted.Errorf(trusted.Invalid, "client_secret: it is empty; leave it out, or give 16 characters of the URL-safe base64")
	}
	base := access.Base(req, r.Public, r.Proxied)
	who := subscriptions.Subscriber{Everybody: access.From(req.Context()).Everybody(), Base: base.String()}
	who.Account, who.User, who.Role = trusted.Actor(req.Context())
	is, err := r.Engine.SubscribeWebhook(req.Context(), who, ask)
	if err != nil {
		return nil, err
	}
	return told(is, &ask, false), nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// token is that of the request; its error says that there is no such subscription,
// as where the account in the path is another one.
func token(req *http.Request) (string, error) {
	token := req.URL.Query().Get("token")
	claim, ok := subscriptions.ReadToken(token)
	if account := req.PathValue("account"); !ok || account != "" && account != claim.Account {
		return "", engine.ErrNoSubscription
	}
	return token, nil
}

func (r room) confirm(req *http.Request) (any, error) {
	token, err := token(req)
	if err != nil {
		return nil, err
	}
	is, err := r.Engine.ConfirmSubscription(req.Context(), token)
	if err != nil {
		return nil, err
	}
	return map[string]json.RawMessage{"subscription": is.Describe(true)}, nil
}

func (r room) refresh(req *http.Request) (any, error) {
	var form struct {
		ClientSecret *string `json:"client_secret"`
		Expires      *int    `json:"expires"`
	}
	token, err := token(req)
	if err != nil {
		return nil, err
	}
	if _, err := trusted.Read(req, &form); err != nil {
		return nil, err
	}
	ask := subscriptions.Request{ClientSecret: text(form.ClientSecret), Expires: seconds(form.Expires)}
	is, err := r.Engine.RefreshSubscription(req.Context(), token, ask)
	if err != nil {
		return nil, err
	}
	return told(is, &ask, true), nil
}

func (r room) unsubscribe(req *http.Request) (any, error) {
	token, err := token(req)
	if err != nil {
		return nil, err
	}
	_, err = r.Engine.EndSubscription(req.Context(), token)
	return nil, err
}
