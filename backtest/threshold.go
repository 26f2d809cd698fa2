package backtest

import (
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Threshold is a comparison of a field with a number.
type Threshold struct {
	Op    string  `json:"op"` // as it reads with the field on its left
	Value float64 `json:"value"`
	Clear bool    `json:"clear"` // of the clearCondition
	New   bool    `json:"new"`   // of the second set of rules only
	Old   bool    `json:"old"`   // of the first set of rules only
}

// reading is what a rule reads, as far as a picture can show it.
type reading struct {
	feed       string
	field      []string // the path of the first field that the conditions compare; nil: none
	thresholds []Threshold
}

// readingOf finds what a rule of a program reads.
func readingOf(p *rules.Program, name string) reading {
	doc, err := strictjson.Parse(p.ID(), p.Text())
	i := slices.Index(p.Rules(), name)
	if err != nil || i < 0 || i >= len(doc.Member("rules").Elems()) {
		return reading{}
	}
	var rule strictjson.Raw
	for _, m := range doc.Member("rules").Elems()[i].Members() {
		if !m.Value.Member("sourceFeedId").IsZero() {
			rule = m.Value
		}
	}
	r := reading{feed: rule.Member("sourceFeedId").Str()}
	field := ""
	for _, part := range []string{"conditions", "levels", "clearCondition"} {
		walk(rule.Member(part), nil, func(path []string, v strictjson.Raw) {
			name, thresholds := compared(v)
			if name == "" {
				return
			}
			if name = measured(rule, name); field == "" {
				field = name
			}
			if name == field {
				for _, t := range thresholds {
					t.Clear = part == "clearCondition" || slices.Contains(path, "clearCondition")
					r.thresholds = append(r.thresholds, t)
				}
			}
		})
	}
	if field != "" {
		r.field = strings.Split(field, ".")
	}
	return r
}

// measured is the field of the sample behind a variable: that of which an
// aggregate is made, or the variable itself.
func measured(rule strictjson.Raw, name string) string {
	if aggregate, ok := strings.CutPrefix(name, "$agg."); ok {
		if field := rule.Member("aggregate").Member(aggregate).Member("field").Str(); field != "" {
			return field
		}
	}
	return name
}

var turned = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "===": "===", "!=": "!=", "!==": "!=="}

// compared is the field that an operation compares with numbers, and those.
func compared(r strictjson.Raw) (field string, thresholds []Threshold) {
	if len(r.Members()) != 1 || turned[r.Members()[0].Name] == "" {
		return "", nil
	}
	op, operands := r.Members()[0].Name, r.Members()[0].Value.Elems()
	at := slices.IndexFunc(operands, func(o strictjson.Raw) bool { return varOf(o) != "" })
	if at < 0 {
		return "", nil
	}
	for i, o := range operands {
		number, ok := o.Any().(float64)
		switch {
		case !ok:
		case i > at:
			thresholds = append(thresholds, Threshold{Op: op, Value: number})
		default:
			thresholds = append(thresholds, Threshold{Op: turned[op], Value: number})
		}
	}
	if thresholds == nil {
		return "", nil
	}
	return varOf(operands[at]), thresholds
}
