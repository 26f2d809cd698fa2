package trials

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is the results of one folder.
type Report struct {
	Folder  *Folder
	Results []Result
}

// Failed is how many cases failed, the folder itself included when it has none.
func (r *Report) Failed() (n int) {
	if r.Folder.Err != nil {
		n++
	}
	for i := range r.Results {
		if !r.Results[i].OK() {
			n++
		}
	}
	return n
}

// Passed is how many cases passed.
func (r *Report) Passed() (n int) {
	for i := range r.Results {
		if r.Results[i].OK() {
			n++
		}
	}
	return n
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	took     time.Duration
}

type junitCase struct {
	Name    string      `xml:"name,attr"`
	Class   string      `xml:"classname,attr"`
	File    string      `xml:"file,attr,omitempty"`
	Time    string      `xml:"time,attr"`
	Failure *junitTrace `xml:"failure"`
	Error   *junitTrace `xml:"error"`
}

type junitTrace struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the results as JUnit XML: a suite a folder.
func WriteJUnit(w io.Writer, reports []Report) error {
	var out junitSuites
	var took time.Duration
	for i := range reports {
		s := reports[i].suite()
		out.Tests, out.Failures, out.Errors, took = out.Tests+s.Tests, out.Failures+s.Failures, out.Errors+s.Errors, took+s.took
		out.Suites = append(out.Suites, s)
	}
	out.Time = seconds(took)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Report) suite() junitSuite {
	s := junitSuite{Name: r.Folder.Dir}
	if err := r.Folder.Err; err != nil {
		s.add(junitCase{Name: "rules and tests", Error: trace(err.Error(), err.Error())}, 0)
	}
	for i := range r.Results {
		result := &r.Results[i]
		c := junitCase{Name: result.Case.Name, File: result.Case.Place}
		switch {
		case result.Err != nil:
			c.Error = trace(result.Err.Error(), result.Err.Error())
		case len(result.Failures) > 0:
			f := &result.Failures[0]
			var text strings.Builder
			for k := range result.Failures {
				text.WriteString(result.Failures[k].Text())
			}
			c.Failure = trace(fmt.Sprintf("wanted %s, got %s", f.Wanted, f.Got), text.String())
		}
		s.add(c, result.Took)
	}
	s.Time = seconds(s.took)
	return s
}

func (s *junitSuite) add(c junitCase, took time.Duration) {
	c.Class, c.Time = s.Name, seconds(took)
	s.Tests++
	s.took += took
	if c.Failure != nil {
		s.Failures++
	}
	if c.Error != nil {
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}

func trace(message, text string) *junitTrace {
	return &junitTrace{Message: xmlText(firstLine(message)), Text: xmlText(text)}
}

// xmlText leaves out what XML cannot hold.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, s)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
