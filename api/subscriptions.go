package api

import (
	"net/http"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// subscribersDesk is the part of the API that is about who subscribes by a webhook.
type subscribersDesk struct{ engine *engine.Engine }

func subscriptionRoutes(e *engine.Engine) (out []access.Route) {
	d := subscribersDesk{e}
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/subscriptions":                 d.list,
		"GET /api/v1/subscriptions/{id}/deliveries": d.deliveries,
		"POST /api/v1/subscriptions/{id}/retry":     d.retry,
		"DELETE /api/v1/subscriptions/{id}":         d.delete,
	} {
		out = append(out, access.Route{Pattern: pattern, Action: access.Operate, Handler: atDesk(e, orRefuse(serve))})
	}
	return out
}

func (d subscribersDesk) list(w http.ResponseWriter, r *http.Request) error {
	all, err := d.engine.Subscriptions(r.Context())
	if err == nil {
		answer(w, http.StatusOK, map[string]any{"subscriptions": all})
	}
	return err
}

func (d subscribersDesk) deliveries(w http.ResponseWriter, r *http.Request) error {
	all, err := d.engine.Deliveries(r.Context(), r.PathValue("id"))
	if err == nil {
		answer(w, http.StatusOK, map[string]any{"attempts": all})
	}
	return err
}

func (d subscribersDesk) retry(w http.ResponseWriter, r *http.Request) error {
	err := d.engine.RetrySubscription(r.Context(), r.PathValue("id"))
	if err == nil {
		answer(w, http.StatusOK, struct{}{})
	}
	return err
}

func (d subscribersDesk) delete(w http.ResponseWriter, r *http.Request) error {
	err := d.engine.DeleteSubscription(r.Context(), r.PathValue("id"))
	if err == nil {
		answer(w, http.StatusOK, struct{}{})
	}
	return err
}
