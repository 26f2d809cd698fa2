package backtest

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Canvas says how a plot is drawn.
type Canvas struct {
	Width  int  // in columns
	Plain  bool // letters and signs of ASCII only
	Colour bool
	Names  []string // of the sets of rules
}

// plotHeight is how many rows the values take.
const plotHeight = 10

// gutter is how many columns the names and numbers on the left take.
const gutter = 10

// Plot draws a panel between two times: the field's values, its thresholds, and
// below them when each set of rules is in alarm.
func (c Canvas) Plot(out io.Writer, p *Panel, first, last time.Time) {
	columns := max(c.Width-gutter-1, 20)
	var said []string
	for _, t := range p.Thresholds {
		said = append(said, t.String())
	}
	title := p.Rule.String() + "  " + p.Twin
	if p.Field != "" {
		title += "  " + p.Field + " " + strings.Join(said, ", ")
	}
	fmt.Fprintln(out, title)
	at := func(t time.Time) int {
		if !last.After(first) {
			return 0
		}
		return min(max(int(float64(t.Sub(first))/float64(last.Sub(first))*float64(columns)), 0), columns-1)
	}
	if len(p.Buckets) > 0 {
		c.values(out, p, columns, at)
	} else {
		fmt.Fprintln(out, "  (no number of the samples to draw)")
	}
	for i, alerts := range p.Alerts {
		lane := make([]bool, columns)
		for j := range alerts {
			for x := at(alerts[j].Start); x <= at(alerts[j].until(last)); x++ {
				lane[x] = true
			}
		}
		c.lane(out, c.Names[i], lane)
	}
	from, to := first.UTC().Format("2006-01-02 15:04"), last.UTC().Format("2006-01-02 15:04")
	fmt.Fprintf(out, "%*s %s%*s\n", gutter, "", from, max(columns-len(from), len(to)+1), to)
}

// String is the threshold as it stands in the title.
func (t Threshold) String() string {
	text := fmt.Sprintf("%s %g", t.Op, t.Value)
	if t.Clear {
		text = "clear " + text
	}
	switch {
	case t.Old:
		text += " (old)"
	case t.New:
		text += " (new)"
	}
	return text
}

// band is what the values of one column span.
type band struct {
	low, high float64
	some      bool
}

func (c Canvas) values(out io.Writer, p *Panel, columns int, at func(time.Time) int) {
	bands := make([]band, columns)
	low, high := math.Inf(1), math.Inf(-1)
	for _, b := range p.Buckets {
		to := &bands[at(b.At)]
		if !to.some {
			*to = band{b.Low, b.High, true}
		}
		to.low, to.high = min(to.low, b.Low), max(to.high, b.High)
		low, high = min(low, b.Low), max(high, b.High)
	}
	for _, t := range p.Thresholds {
		low, high = min(low, t.Value), max(high, t.Value)
	}
	if high == low {
		low, high = low-1, high+1
	}
	join(bands)
	const rows = 2 * plotHeight // two halves a row
	half := func(v float64) int { return min(int((v-low)/(high-low)*rows), rows-1) }
	lines := map[int]bool{} // the rows with a threshold
	for _, t := range p.Thresholds {
		lines[half(t.Value)/2] = true
	}
	for row := plotHeight - 1; row >= 0; row-- {
		label := ""
		switch row {
		case plotHeight - 1:
			label = short(high)
		case 0:
			label = short(low)
		}
		for _, t := range p.Thresholds {
			if half(t.Value)/2 == row {
				label = short(t.Value)
			}
		}
		var b strings.Builder
		for _, is := range bands {
			lower := is.some && half(is.low) <= 2*row && 2*row <= half(is.high)
			upper := is.some && half(is.low) <= 2*row+1 && 2*row+1 <= half(is.high)
			b.WriteString(c.cell(lower, upper, lines[row]))
		}
		fmt.Fprintf(out, "%*s %s\n", gutter, label, strings.TrimRight(b.String(), " "))
	}
}

// join fills small gaps with the values before them: samples may be rarer than
// columns.
func join(bands []band) {
	last := -1
	for i, b := range bands {
		if !b.some {
			continue
		}
		if last >= 0 && i-last <= len(bands)/10 {
			for j := last + 1; j < i; j++ {
				bands[j] = bands[last]
			}
		}
		last = i
	}
}

// cell is one character of the values.
func (c Canvas) cell(lower, upper, line bool) string {
	switch {
	case c.Plain && (lower || upper):
		return "#"
	case lower && upper:
		return "█"
	case lower:
		return "▄"
	case upper:
		return "▀"
	case line && c.Plain:
		return "-"
	case line:
		return c.paint("33", "─")
	}
	return " "
}

func (c Canvas) lane(out io.Writer, name string, on []bool) {
	var b strings.Builder
	for _, is := range on {
		switch {
		case is && c.Plain:
			b.WriteByte('=')
		case is:
			b.WriteString(c.paint("31", "█"))
		case c.Plain:
			b.WriteByte('.')
		default:
			b.WriteString("·")
		}
	}
	if runes := []rune(name); len(runes) > gutter {
		name = string(runes[:gutter-1]) + "~"
	}
	fmt.Fprintf(out, "%*s %s\n", gutter, name, b.String())
}

func (c Canvas) paint(colour, text string) string {
	if !c.Colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// short writes a number in at most nine columns.
func short(v float64) string { return fmt.Sprintf("%.4g", v) }
