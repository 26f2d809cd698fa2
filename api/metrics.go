package api

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// scrapePatience is how long the bus may take to say what waits for the sinks.
const scrapePatience = 2 * time.Second

// maxScrapes is how many scrapes are answered at a time.
const maxScrapes = 4

// metrics answers GET /metrics.
func metrics(o Options, c *counts) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{o, c}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true})
}

// collector turns what the engine counts into families of metrics.
type collector struct {
	Options
	counts *counts
}

// Describe names all families, those without a value included.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for i := range families {
		to <- families[i].desc()
	}
	for i := range histograms {
		to <- histograms[i].desc()
	}
}

// Collect gives every value there is now.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	s := scrape{c.Engine.Metrics(ctx), c.Engine.Health().Ready, c.counts.read(), stomp.Stats{}, c.Version}
	if c.Stomp != nil {
		s.stomp = c.Stomp()
	}
	for i := range families {
		f := &families[i]
		desc := f.desc()
		f.values(&s, func(v float64, labels ...string) {
			m, err := prometheus.NewConstMetric(desc, f.kind, v, valid(labels)...)
			to <- orInvalid(m, err, desc)
		})
	}
	for i := range histograms {
		h := &histograms[i]
		desc := h.desc()
		h.values(&s, func(v engine.Histogram, labels ...string) {
			count, buckets := cumulative(v)
			m, err := prometheus.NewConstHistogram(desc, count, v.Sum, buckets, valid(labels)...)
			to <- orInvalid(m, err, desc)
		})
	}
}

// orInvalid is the metric, or one that says that it cannot be made: a fault of
// ours is the scrape's error and not the end of the process.
func orInvalid(m prometheus.Metric, err error, desc *prometheus.Desc) prometheus.Metric {
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}

// valid makes labels of any texts.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return labels
}

// cumulative is how Prometheus counts: each bucket has those below it as well.
func cumulative(h engine.Histogram) (count uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(h.Bounds))
	for i, n := range h.Counts {
		count += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = count
		}
	}
	return count, buckets
}

// scrape is what the values are taken from.
type scrape struct {
	engine.Metrics
	ready   bool
	http    serving
	stomp   stomp.Stats
	version string
}

type emit func(v float64, labels ...string)

// family is a counter or a gauge with its labels.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	values     func(*scrape, emit)
}

func (f *family) desc() *prometheus.Desc { return prometheus.NewDesc(f.name, f.help, f.labels, nil) }

// histogramFamily is a histogram with its labels.
type histogramFamily struct {
	name, help string
	labels     []string
	values     func(*scrape, func(h engine.Histogram, labels ...string))
}

func (f *histogramFamily) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.name, f.help, f.labels, nil)
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// stages are those of a rule's funnel: what becomes of the samples that reach it.
var stages = []struct {
	name string
	of   func(*rules.Funnel) uint64
}{
	{"received", func(f *rules.Funnel) uint64 { return f.Received }},
	{"matched", func(f *rules.Funnel) uint64 { return f.Matched }},
	{"late", func(f *rules.Funnel) uint64 { return f.Late }},
	{"filtered", func(f *rules.Funnel) uint64 { return f.Skipped }},
	{"unknown", func(f *rules.Funnel) uint64 { return f.Unknown }},
	{"error", func(f *rules.Funnel) uint64 { return f.Errors }},
	{"false", func(f *rules.Funnel) uint64 { return f.False }},
	{"true", func(f *rules.Funnel) uint64 { return f.True }},
	{"held", func(f *rules.Funnel) uint64 { return f.Held }},
	{"suppressed", func(f *rules.Funnel) uint64 { return f.Quiet }},
	{"raised", func(f *rules.Funnel) uint64 { return f.Raised }},
	{"resolved", func(f *rules.Funnel) uint64 { return f.Resolved }},
	{"not_made", func(f *rules.Funnel) uint64 { return f.NotMade }},
}

var ruleStates = []string{engine.RulesOK, engine.RulesDegraded, engine.RulesDisabled}

// families are THE table of what /metrics has beside histograms and what the Go
// runtime and the process say of themselves. A family of the pool is told by
// every worker of its own share, so that sums over workers are right.
var families = []family{
	{"tocsin_samples_total", "Samples stored, by the source that brought them.", counter, []string{"source"}, func(s *scrape, out emit) {
		for source, n := range s.Samples {
			out(float64(n), source)
		}
	}},
	{"tocsin_source_up", "1 while the source reads all that it should of its origin, a remote broker or host.", gauge, []string{"source"}, func(s *scrape, out emit) {
		for _, source := range s.Sources {
			out(truth(source.Up), source.Name)
		}
	}},
	{"tocsin_source_lost_total", "How often the source lost its origin.", counter, []string{"source"}, func(s *scrape, out emit) {
		for _, source := range s.Sources {
			out(float64(source.Lost), source.Name)
		}
	}},
	{"tocsin_judged_samples_total", "Samples judged, whichever way they came in.", counter, nil, func(s *scrape, out emit) { out(float64(s.Judged)) }},
	{"tocsin_rule_samples_total", "What became of the samples that reached a rule.", counter, []string{"interaction", "rule", "stage"}, func(s *scrape, out emit) {
		s.eachRule(func(id, rule, _ string, f *rules.Funnel) {
			for _, stage := range stages {
				out(float64(stage.of(f)), id, rule, stage.name)
			}
		})
		for id, in := range s.Interactions {
			for i, rule := range in.Names {
				out(float64(in.Told[i].Silenced), id, rule, "silenced")
				out(float64(in.Told[i].Delivered), id, rule, "delivered")
			}
		}
	}},
	{"tocsin_rule_lost_total", "Values of windows and rates, and begun sequences, for which a rule had no room.", counter, []string{"interaction", "rule"}, func(s *scrape, out emit) {
		s.eachRule(func(id, rule, _ string, f *rules.Funnel) { out(float64(f.Lost), id, rule) })
	}},
	{"tocsin_rule_state", "1 for the state of a rule, 0 for the others; degraded: its interaction's newest edit was refused.", gauge, []string{"interaction", "rule", "state"}, func(s *scrape, out emit) {
		s.eachRule(func(id, rule, is string, _ *rules.Funnel) {
			for _, state := range ruleStates {
				out(truth(state == is), id, rule, state)
			}
		})
	}},
	{"tocsin_late_samples_total", "Samples that some rule of an interaction found too late.", counter, []string{"interaction"}, func(s *scrape, out emit) {
		for id, in := range s.Interactions {
			out(float64(in.Late), id)
		}
	}},
	{"tocsin_outcomes_total", "Outcomes published.", counter, []string{"kind"}, func(s *scrape, out emit) {
		for kind, n := range s.Outcomes {
			out(float64(n), string(kind))
		}
	}},
	{"tocsin_dead_letters_total", "Samples that were refused and deliveries that were given up.", counter, []string{"from", "reason"}, func(s *scrape, out emit) {
		for l, n := range s.DeadLetters {
			out(float64(n), l.From, l.Reason)
		}
	}},
	{"tocsin_alerts", "Alerts that are open.", gauge, []string{"severity", "status"}, func(s *scrape, out emit) {
		for a, n := range s.OpenAlerts {
			out(float64(n), a.Severity, a.Status)
		}
	}},
	{"tocsin_alert_events_total", "What happened to alerts.", counter, []string{"event", "severity"}, func(s *scrape, out emit) {
		for a, n := range s.AlertEvents {
			out(float64(n), a.Event, a.Severity)
		}
	}},
	{"tocsin_sink_deliveries_total", "Attempts to deliver an outcome.", counter, []string{"sink", "kind", "result"}, func(s *scrape, out emit) {
		for _, sink := range s.Sinks {
			out(float64(sink.Arrived), sink.Name, sink.Kind, "arrived")
			out(float64(sink.Retried), sink.Name, sink.Kind, "retried")
			out(float64(sink.GivenUp), sink.Name, sink.Kind, "given_up")
			out(float64(sink.Filtered), sink.Name, sink.Kind, "filtered")
		}
	}},
	{"tocsin_sink_queue_messages", "Outcomes that wait for a sink.", gauge, []string{"sink"}, func(s *scrape, out emit) {
		for _, sink := range s.Sinks {
			if sink.Queue >= 0 {
				out(float64(sink.Queue), sink.Name)
			}
		}
	}},
	{"tocsin_source_lag_seconds", "How long the message that was judged last had been stored by then.", gauge, nil, func(s *scrape, out emit) { out(s.Lag.Seconds()) }},
	{"tocsin_partition_lag_messages", "Messages that wait to be judged, of the partitions that this worker holds.", gauge, []string{"partition"}, func(s *scrape, out emit) {
		for _, p := range s.Partitions {
			out(float64(p.Lag), strconv.Itoa(p.Partition))
		}
	}},
	{"tocsin_partition_snapshot_age_seconds", "Time since the state of a partition was written down.", gauge, []string{"partition"}, func(s *scrape, out emit) {
		for _, p := range s.Partitions {
			out(p.SnapshotAge.Seconds(), strconv.Itoa(p.Partition))
		}
	}},
	{"tocsin_pool_workers", "Workers that live, as this one sees it.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Pool.Workers)) }},
	{"tocsin_pool_partitions", "Partitions that this worker holds.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Pool.Partitions)) }},
	{"tocsin_pool_lease_changes_total", "Leases that this worker has won or lost.", counter, nil, func(s *scrape, out emit) { out(float64(s.Pool.LeaseChanges)) }},
	{"tocsin_followers", "Followers of feeds, alerts and the like.", gauge, []string{"state"}, func(s *scrape, out emit) {
		out(float64(s.Followers.Live), "live")
		out(float64(s.Followers.Behind), "behind")
	}},
	{"tocsin_twins", "Twins that are known, output twins included.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Twins)) }},
	{"tocsin_ready", "1 while /readyz says yes.", gauge, nil, func(s *scrape, out emit) { out(truth(s.ready)) }},
	{"tocsin_config_last_reload_successful", "Whether the rule files could be used when they were read last.", gauge, nil, func(s *scrape, out emit) {
		if s.Reload.Tried {
			out(truth(s.Reload.OK))
		}
	}},
	{"tocsin_config_last_reload_success_timestamp_seconds", "When the rule files were last read and used.", gauge, nil, func(s *scrape, out emit) {
		if !s.Reload.Succeeded.IsZero() {
			out(float64(s.Reload.Succeeded.UnixMilli()) / 1e3)
		}
	}},
	{"tocsin_config_hash", "A number made of the interactions that run and their revisions.", gauge, nil, func(s *scrape, out emit) { out(float64(s.RulesHash)) }},
	{"tocsin_http_requests_total", "Requests answered, by route and status.", counter, []string{"route", "status"}, func(s *scrape, out emit) {
		for c, n := range s.http.requests {
			out(float64(n), c.route, strconv.Itoa(c.code))
		}
	}},
	{"tocsin_http_refused_total", "Requests that did not get to their route, and connections that were closed for lack of room.", counter, []string{"reason"}, func(s *scrape, out emit) {
		for reason, n := range s.http.refused {
			out(float64(n), reason)
		}
	}},
	{"tocsin_http_connections", "Connections to the API that are open, WebSockets included.", gauge, nil, func(s *scrape, out emit) { out(float64(s.http.connections)) }},
	{"tocsin_event_streams", "Streams of server-sent events that are open.", gauge, nil, func(s *scrape, out emit) { out(float64(s.http.streams)) }},
	{"tocsin_event_streams_ended_total", "Streams of server-sent events that have ended, by why.", counter, []string{"reason"}, func(s *scrape, out emit) {
		for _, reason := range []string{endedGone, endedSlow, endedRefused, endedStopping} {
			out(float64(s.http.ended[reason]), reason)
		}
	}},
	{"tocsin_events_sent_total", "Server-sent events.", counter, nil, func(s *scrape, out emit) { out(float64(s.http.events)) }},
	{"tocsin_events_dropped_total", "Events that waited for a client that did not read, when its stream was ended.", counter, nil, func(s *scrape, out emit) { out(float64(s.http.unsent)) }},
	{"tocsin_http_certificate_expiry_timestamp_seconds", "When the certificate of the API expires.", gauge, nil, func(s *scrape, out emit) {
		if !s.http.expiry.IsZero() {
			out(float64(s.http.expiry.Unix()))
		}
	}},
	{"tocsin_http_certificate_good", "1 while the newest files of the certificate are in use, 0 while they cannot be used.", gauge, nil, func(s *scrape, out emit) {
		if !s.http.expiry.IsZero() {
			out(truth(s.http.certGood))
		}
	}},
	{"tocsin_stomp_connections", "STOMP connections that are open, over TCP and WebSocket.", gauge, nil, func(s *scrape, out emit) { out(float64(s.stomp.Open)) }},
	{"tocsin_stomp_subscriptions", "Subscriptions of the STOMP connections that are open.", gauge, nil, func(s *scrape, out emit) { out(float64(s.stomp.Subscriptions)) }},
	{"tocsin_stomp_connections_total", "STOMP connections that were taken.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Connections)) }},
	{"tocsin_stomp_frames_total", "Frames that STOMP clients sent, without heart-beats.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Frames)) }},
	{"tocsin_stomp_messages_total", "Messages that were written to STOMP clients.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Messages)) }},
	{"tocsin_stomp_dropped_total", "Messages that were not, because their client was too slow.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Dropped)) }},
	{"tocsin_stomp_slow_total", "STOMP connections that were ended because their client was too slow.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Slow)) }},
	{"tocsin_stomp_errors_total", "STOMP connections that were ended with an error.", counter, nil, func(s *scrape, out emit) { out(float64(s.stomp.Errors)) }},
	{"tocsin_decisions_waiting", "Stickers and notices that rules have decided, and that wait to be carried out, at the worker at the desk.", gauge, []string{"kind"}, func(s *scrape, out emit) {
		for kind, n := range s.Undone {
			out(float64(n), string(kind))
		}
	}},
	{"tocsin_webhook_attempts_total", "Attempts to deliver to a subscription of a webhook, by how they ended.", counter, []string{"result"}, func(s *scrape, out emit) {
		for result, n := range s.Post.Results {
			out(float64(n), string(result))
		}
	}},
	{"tocsin_webhook_waiting", "Messages that wait for a subscription, at the worker at the desk.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Post.Waiting)) }},
	{"tocsin_webhook_open_breakers", "Subscriptions of which so many attempts in a row have failed that they are left alone for a while.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Post.Open)) }},
	{"tocsin_webhook_subscriptions", "Subscriptions of webhooks, at the worker at the desk.", gauge, nil, func(s *scrape, out emit) { out(float64(s.Post.Subscribers)) }},
	{"tocsin_build_info", "1, with the versions of the engine and of Go.", gauge, []string{"version", "goversion"}, func(s *scrape, out emit) { out(1, s.version, runtime.Version()) }},
}

var histograms = []histogramFamily{
	{"tocsin_rule_eval_seconds", "Time to judge a sample and hand over its outcomes: its share of its batch's.", nil, func(s *scrape, out func(engine.Histogram, ...string)) {
		out(s.Eval)
	}},
	{"tocsin_sink_delivery_seconds", "Time of an attempt to deliver, by the kind of sink.", []string{"kind"}, func(s *scrape, out func(engine.Histogram, ...string)) {
		for kind, h := range s.Deliveries {
			out(h, kind)
		}
	}},
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// eachRule gives the rules of all interactions.
func (s *scrape) eachRule(f func(interaction, rule, state string, counts *rules.Funnel)) {
	for id, in := range s.Interactions {
		for i, name := range in.Names {
			f(id, name, in.State, &in.Rules[i])
		}
	}
}
