package backtest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tocsin.internal/rules/words"
)

// Table writes what each variant would have done, for the rules for which is
// says so. The run has a verdict for each variant, in their order; columns are
// the names of the sweeps.
func Table(out io.Writer, run *Run, columns []string, variants []Variant, is func(Rule) bool) {
	totals := make([]Total, len(variants))
	for i := range variants {
		totals[i] = run.Verdicts[i].Total(run.Last, is)
	}
	made := madeBy(totals...)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\talerts\tper week\tmin in alarm\tlongest\tagain within %s\ttrue\t", strings.Join(columns, "\t"), Span(Again))
	for _, kind := range made {
		fmt.Fprintf(w, "%ss\t", kind)
	}
	fmt.Fprintln(w)
	for i, v := range variants {
		for j := range columns {
			label := "as written"
			if v.Values != nil {
				label = v.Values[j].Label
			}
			fmt.Fprintf(w, "%s\t", label)
		}
		t := &totals[i]
		longest := "-"
		if t.Longest != nil {
			longest = Span(t.Longest.lasts(run.Last).Round(time.Second))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%s\t%s\t%d\t%s\t", words.Number(t.Alerts), run.PerWeek(t.Alerts), words.Number(int(t.InAlarm/time.Minute)), longest, t.Flapping, words.Number(int(t.True)))
		for _, kind := range made {
			fmt.Fprintf(w, "%s\t", words.Number(t.Made[kind]))
		}
		if v.Configured {
			fmt.Fprint(w, "   <- as configured")
		}
		fmt.Fprintln(w)
	}
	w.Flush() //nolint:errcheck // the writer below tells
	for i, v := range variants {
		if t := &totals[i]; v.Configured && t.Longest != nil {
			fmt.Fprintf(out, "longest as configured   %s   %s\n", t.Longest.when(run.Last), t.Longest.Twin)
			return
		}
	}
}
