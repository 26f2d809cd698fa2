package logic

// node is one compiled part of an expression. eval gives its value in the
// machine's innermost scope. It leaves the machine's stacks as it found them,
// also when it fails.
type node interface {
	eval(m *machine) (any, *Error)
}

// machine is the state of one evaluation.
type machine struct {
	scopes   []scope // the sample first, the innermost last
	operands []any   // of the operations under way
	unknown  bool    // an input was missing
	work     int     // spent, of MaxWork
	trace    *recording
}

// scope is what variables are read from.
type scope struct {
	data        any   // the sample, an element, or an error
	accumulator any   // of a reduce
	list        []any // that is iterated
	index       int   // of the element
}

func newMachine() *machine {
	return &machine{scopes: make([]scope, 0, 4), operands: make([]any, 0, 8)}
}

func (m *machine) start(data any) {
	m.unknown, m.work = false, 0
	m.push(scope{data: data})
}

// stop lets go of the sample and gives the machine back.
func (m *machine) stop() {
	m.pop()
	machines.Put(m)
}

func (m *machine) push(s scope) { m.scopes = append(m.scopes, s) }

func (m *machine) pop() {
	last := len(m.scopes) - 1
	m.scopes[last] = scope{}
	m.scopes = m.scopes[:last]
}

func (m *machine) innermost() *scope { return &m.scopes[len(m.scopes)-1] }

// drop takes the operands from base on off the stack.
func (m *machine) drop(base int) {
	clear(m.operands[base:])
	m.operands = m.operands[:base]
}

// What things cost; see MaxWork.
const (
	bytesPerStep    = 8
	stepsPerElement = 4
	stepsPerObject  = 100
)

func (m *machine) spend(steps int) *Error {
	m.work += steps
	if m.work > MaxWork {
		return errLimit
	}
	return nil
}

func (m *machine) readText(s string) *Error   { return m.spend(len(s) / bytesPerStep) }
func (m *machine) writeText(bytes int) *Error { return m.spend(bytes) }
func (m *machine) writeList(elems int) *Error { return m.spend(stepsPerElement * elems) }
func (m *machine) writeObject() *Error        { return m.spend(stepsPerObject) }

// input marks the condition unknown when a value that was read is no value to
// decide on.
func (m *machine) input(v any) {
	switch x := v.(type) {
	case nil:
		m.unknown = true
	case float64:
		if x-x != 0 { // NaN and the infinities
			m.unknown = true
		}
	}
}

// measure counts the values in v, which may be a list that holds itself many
// times over, and fails when they are more than most or nested too deep.
func measure(v any, depth, most int) (int, *Error) {
	n := 1
	if depth > maxResultDepth || n > most {
		return 0, errLimit
	}
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			k, err := measure(e, depth+1, most-n)
			if err != nil {
				return 0, err
			}
			n += k
		}
	case map[string]any:
		for _, e := range x {
			k, err := measure(e, depth+1, most-n)
			if err != nil {
				return 0, err
			}
			n += k
		}
	}
	return n, nil
}
