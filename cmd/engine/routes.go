package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tocsin.internal/alerts"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

func routesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Look at the routes of a configuration",
		Args:  onlyVerbs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(routesTestCommand())
	return cmd
}

func routesTestCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test -c FILE [NAME=VALUE…]",
		Short: "Say who would be told of an alert, and why",
		Long: `Say which sinks of a configuration would be told of an alert, singly or by a
route, and why the others would not. The alert is what the arguments say: severity,
interaction, rule, twin, feed, label.NAME, property.KEY (of its twin). What they
do not say is "example", and the severity critical. Nothing is started.

Exit codes: 0 somebody is told; 1 nobody is; 2 wrong use, or a wrong configuration.`,
		Example: `  engine routes test -c engine.json severity=critical label.site=brno
  engine routes test -c engine.json rule=too-hot twin=machine_1 property.line=2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return wrongUse("engine routes test: want a configuration, -c engine.json")
			}
			return testRoutes(cmd.OutOrStdout(), file, args)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration, JSON")
	return cmd
}

func testRoutes(w io.Writer, file string, args []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return exit{exitWrong, err}
	}
	c, err := readConfig(file, text)
	if err != nil {
		return exit{exitWrong, err}
	}
	o, properties, err := exampleAlert(args)
	if err != nil {
		return wrongUse("engine routes test: %w", err)
	}
	routes, err := c.makeRoutes()
	if err != nil {
		return exit{exitWrong, err}
	}
	list, err := c.makeSinks(surroundings{})
	if err != nil {
		return exit{exitWrong, err}
	}
	for i := range routes {
		routes[i].Match = routes[i].Match.Bind(properties.values)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	told := false
	for _, s := range list {
		s.Match = s.Match.Bind(properties.values)
		how, gets := whoIsTold(&s, routes, &o)
		told = told || gets
		fmt.Fprintf(table, "%s\t%s\n", s.Name, how)
	}
	if err := table.Flush(); err != nil {
		return exit{exitWrong, err}
	}
	if !told {
		return exit{exitNo, errors.New("nobody is told of this alert")}
	}
	return nil
}

// whoIsTold says how a sink is told of an alert, or why it is not.
func whoIsTold(s *engine.NamedSink, routes []alerts.Route, o *rules.Outcome) (how string, gets bool) {
	var by []string
	for _, r := range alerts.Explain(routes, o) {
		if slices.Contains(r.Sinks, s.Name) {
			by = append(by, fmt.Sprintf("in groups by route %s (%s): %s; told after %s, then at most every %s, again every %s",
				r.Name, reasons(r.Match, o), groupsOf(r), r.GroupWait, r.GroupInterval, r.RepeatInterval))
		}
	}
	switch {
	case len(by) > 0:
		return strings.Join(by, "; "), true
	case s.Kind != "" && s.Kind != rules.Alert:
		return notBy(s, routes, o) + fmt.Sprintf("it gets outcomes of kind %s only", s.Kind), false
	case !s.Match.Match(o):
		return notBy(s, routes, o) + "its match does not fit: " + reasons(s.Match, o), false
	case len(s.Match) > 0:
		return "singly: its match fits: " + reasons(s.Match, o), true
	}
	return "singly: it has no match, and no route takes the alert there", true
}

// notBy says of the routes to a sink why the alert does not take them.
func notBy(s *engine.NamedSink, routes []alerts.Route, o *rules.Outcome) string {
	var b strings.Builder
	b.WriteString("no: ")
	for _, r := range routes {
		switch {
		case !slices.Contains(r.Sinks, s.Name):
		case r.Match.Match(o):
			fmt.Fprintf(&b, "route %s stands behind one that fits; ", r.Name)
		default:
			fmt.Fprintf(&b, "route %s does not fit: %s; ", r.Name, reasons(r.Match, o))
		}
	}
	return b.String()
}

// reasons are the matchers that do not fit, or all when they do.
func reasons(ms alerts.Matchers, o *rules.Outcome) string {
	var fit, misfit []string
	for i := range ms {
		if text := ms[i].String(); ms[i].Match(o) {
			fit = append(fit, text)
		} else {
			misfit = append(misfit, text)
		}
	}
	switch {
	case len(misfit) > 0:
		return strings.Join(misfit, " and ")
	case len(fit) > 0:
		return strings.Join(fit, " and ")
	}
	return "every alert"
}

func groupsOf(r *alerts.Route) string {
	switch {
	case len(r.GroupBy) == 0:
		return "one group"
	case r.GroupBy[0] == alerts.EachAlone:
		return "each alert alone"
	}
	return "one group for each " + strings.Join(r.GroupBy, ", ")
}

// twinProperties are those of the example's twin.
type twinProperties map[string]string

// values are those of the property, which either side may name in short.
func (p twinProperties) values(_, key string) (out []string) {
	short := func(k string) string { return k[strings.LastIndexAny(k, "#/")+1:] }
	for name, value := range p {
		if name == key || short(name) == key || name == short(key) {
			out = append(out, value)
		}
	}
	return out
}

// exampleAlert is an alert as the arguments say.
func exampleAlert(args []string) (rules.Outcome, twinProperties, error) {
	o := rules.Outcome{Kind: rules.Alert, Interaction: "example", Rule: "example", Twin: "example", Severity: "critical", State: rules.StateFiring, Labels: map[string]string{}}
	life := rules.Life{Number: 1, Event: rules.EventRaised, Status: rules.StatusFiring, Active: true}
	fields := map[string]*string{"severity": &o.Severity, "interaction": &o.Interaction, "rule": &o.Rule, "twin": &o.Twin, "feed": &life.Feed}
	properties := twinProperties{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		label, isLabel := strings.CutPrefix(name, "label.")
		property, isProperty := strings.CutPrefix(name, "property.")
		switch {
		case !ok:
			return o, nil, fmt.Errorf("%q; want NAME=VALUE", arg)
		case isLabel:
			o.Labels[label] = value
		case isProperty:
			properties[property] = value
		case fields[name] != nil:
			*fields[name] = value
		default:
			return o, nil, fmt.Errorf("unknown name %q%s", name, strictjson.OneOf(name, []string{"severity", "interaction", "rule", "twin", "feed", "label.NAME", "property.KEY"}))
		}
	}
	severity, ok := rules.CanonicalSeverity(o.Severity)
	if !ok {
		return o, nil, fmt.Errorf("unknown severity %q", o.Severity)
	}
	o.Severity, o.Life = severity, &life
	return o, properties, nil
}
