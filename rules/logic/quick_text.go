package logic

import (
	"strconv"
	"strings"

	"tocsin.internal/rules/scan"
)

// joined is cat.
type joined struct {
	notNumber
	operands []quick
}

func (n *joined) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

func (n *joined) value(m *Machine) scan.Value {
	var few [8]scan.Value // an operand may compute a text of its own, so all are evaluated first
	values := few[:0]
	for _, o := range n.operands {
		values = append(values, o.value(m))
	}
	for i := range values {
		if v := &values[i]; v.Kind == scan.Text && v.Escaped {
			*v = m.unescaped(v)
		}
	}
	start := len(m.scratch)
	for i := range values {
		m.write(&values[i])
	}
	m.spend(4 * (len(m.scratch) - start))
	return m.newText(start)
}

// unescaped is a text of the sample as a computed one.
func (m *Machine) unescaped(v *scan.Value) scan.Value {
	start := len(m.scratch)
	m.scratch = scan.AppendText(m.scratch, m.sample[v.Start:v.End])
	return m.newText(start)
}

// write appends JavaScript's String of a value to the scratch, nothing of null.
func (m *Machine) write(v *scan.Value) {
	switch v.Kind {
	case scan.Missing, scan.Null:
	case scan.False, scan.True:
		m.scratch = strconv.AppendBool(m.scratch, v.Kind == scan.True)
	case scan.Number:
		m.scratch = appendNumber(m.scratch, v.Num)
	case scan.Text:
		m.scratch = append(m.scratch, m.text(v)...)
	default:
		m.flags |= deopt
	}
}

// written is JavaScript's String of a scalar.
func (m *Machine) written(v *scan.Value) string {
	switch v.Kind {
	case scan.Text:
		return m.text(v)
	case scan.Missing, scan.Null:
		return "null"
	}
	start := len(m.scratch)
	m.write(v)
	return view(m.scratch[start:])
}

// cut is substr.
type cut struct {
	notNumber
	operands []quick
}

func (n *cut) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

func (n *cut) value(m *Machine) scan.Value {
	var values [3]scan.Value
	for i, o := range n.operands {
		values[i] = o.value(m)
	}
	s := m.written(&values[0])
	m.spend(2 * len(s))
	length := textLength(s)
	start := whole(m.numberOf(&values[1]), length)
	if start < 0 {
		start += length
	}
	end := length
	if len(n.operands) > 2 {
		most := m.numberOf(&values[2])
		if most < 0 {
			most += float64(length - start)
		}
		end = min(length, start+whole(most, length))
	}
	from := len(m.scratch)
	m.scratch = append(m.scratch, substring(s, start, end)...)
	return m.newText(from)
}

// found is in: a part of a text, or an element of a list.
type found struct {
	notNumber
	needle, haystack quick
	table            int // of the haystack's elements, or -1
}

func (n *found) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

func (n *found) truth(m *Machine) bool {
	needle := n.needle.value(m)
	haystack := n.haystack.value(m)
	switch haystack.Kind {
	case scan.Text:
		if isEmptyText(&haystack) {
			return false
		}
		part := m.written(&needle)
		m.spend(len(part))
		return strings.Contains(m.text(&haystack), part)
	case scan.List:
		if n.table < 0 {
			m.flags |= deopt
			return false
		}
		return m.among(&needle, &haystack, n.table)
	}
	return false
}

func (m *Machine) among(needle, list *scan.Value, table int) bool {
	m.spend(int(list.Count) + int(list.End-list.Start)/2)
	if needle.Escaped {
		*needle = m.unescaped(needle)
	}
	for i := 0; i < int(list.Count) && m.flags&deopt == 0; i++ {
		if m.same(needle, &m.scanner.Row(table, int(list.Num)+i)[0]) {
			return true
		}
	}
	return false
}

// listed is in with a list that is written in the expression.
type listed struct {
	notNumber
	needle   quick
	elements []quick
}

func (n *listed) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

func (n *listed) truth(m *Machine) bool {
	needle := n.needle.value(m)
	var few [8]scan.Value
	values := few[:0]
	for _, e := range n.elements { // all are read, as the list is made first
		values = append(values, e.value(m))
	}
	if needle.Escaped {
		needle = m.unescaped(&needle)
	}
	for i := range values {
		if m.same(&needle, &values[i]) {
			return true
		}
	}
	return false
}
