package trials

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// reading says what the columns of a CSV mean.
type reading struct {
	twin, twinColumn, feed, timeColumn string
	feeds                              []string // that the rules read
}

// reading is how a folder's files are read that say nothing themselves.
func (f *Folder) reading() reading { return reading{feeds: f.feeds()} }

// feeds are those that some rule reads, sorted.
func (f *Folder) feeds() []string {
	names := map[string]bool{}
	for _, p := range f.programs {
		for _, s := range p.Sources() {
			for _, feed := range s.Feeds {
				names[feed.ID] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// onlyFeed is the feed of samples that do not name theirs; "" when it is not known.
func (r *reading) onlyFeed() string {
	if r.feed == "" && len(r.feeds) == 1 {
		return r.feeds[0]
	}
	return r.feed
}

// readSamples reads a file of samples. A line that cannot be read is an error:
// a test means what it says.
func readSamples(name string, how reading) ([]rules.Sample, error) {
	if !slices.Contains([]string{".ndjson", ".jsonl", ".csv"}, strings.ToLower(filepath.Ext(name))) {
		return nil, fmt.Errorf("%s: what format? Want a name that ends in .ndjson or .csv", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	next, err := how.reader(file, name)
	if err != nil {
		return nil, err
	}
	var out []rules.Sample
	for {
		s, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case s.At.IsZero():
			return nil, fmt.Errorf("%s:%d: no occurredAt; want the time of the sample", name, s.Seq)
		}
		out = append(out, s)
	}
}

// reader gives what reads the next sample.
func (r *reading) reader(in io.Reader, name string) (func() (rules.Sample, error), error) {
	if strings.ToLower(filepath.Ext(name)) != ".csv" {
		return sources.NewNDJSON(in, name).Next, nil
	}
	o := sources.CSVOptions{Name: name, Twin: r.twin, TwinColumn: r.twinColumn, Feed: r.onlyFeed(), TimeColumn: r.timeColumn}
	switch {
	case o.Feed == "":
		return nil, fmt.Errorf(`%s: which feed are the samples of? Want "feed" in a case of %s, with one of %s`, name, casesFile, strings.Join(r.feeds, ", "))
	case o.Twin == "" && o.TwinColumn == "":
		o.TwinColumn = "twin"
	}
	csv, err := sources.NewCSV(in, o)
	if err != nil {
		return nil, err
	}
	return csv.Next, nil
}
