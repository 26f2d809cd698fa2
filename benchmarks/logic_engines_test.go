package benchmarks

import (
	"encoding/json"
	"sync"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// condition is a question that an engine has read, over what encoding/json
// makes of a sample.
type condition func(values map[string]any) bool

// read reads a question once, as well as the engine can.
type read func(b *testing.B, q question) condition

// valuesWay judges values that were decoded before.
func valuesWay(r read) func(*testing.B, question, []sample) func(int) bool {
	return func(b *testing.B, q question, samples []sample) func(int) bool {
		holds := r(b, q)
		return func(i int) bool { return holds(samples[i].values) }
	}
}

// bytesWay decodes each sample, as most programs do.
func bytesWay(r read) func(*testing.B, question, []sample) func(int) bool {
	return func(b *testing.B, q question, samples []sample) func(int) bool {
		holds := r(b, q)
		return func(i int) bool {
			var values map[string]any
			if err := json.Unmarshal(samples[i].text, &values); err != nil {
				b.Fatal(err)
			}
			return holds(values)
		}
	}
}

func compile(b *testing.B, expression string) *logic.Expr {
	raw, err := strictjson.Parse("expression", []byte(expression))
	require.NoError(b, err)
	e, err := logic.Compile(raw)
	require.NoError(b, err)
	return e
}

// machineWay is how the engine judges: the scan of a sample and the decision.
func machineWay(learn bool) func(*testing.B, question, []sample) func(int) bool {
	return func(b *testing.B, q question, samples []sample) func(int) bool {
		m, rule := newMachine(b, q)
		m.Learn(learn)
		return func(i int) bool {
			if !m.Load(samples[i].text) {
				b.Fatalf("refused: %s", samples[i].text)
			}
			return m.Decide(rule) == logic.True
		}
	}
}

// slotsWay is the decision alone: each sample has a machine that has scanned it
// before.
func slotsWay(b *testing.B, q question, samples []sample) func(int) bool {
	machines, rule := make([]*logic.Machine, len(samples)), 0
	for i := range samples {
		machines[i], rule = newMachine(b, q)
		require.True(b, machines[i].Load(samples[i].text))
	}
	return func(i int) bool { return machines[i].Decide(rule) == logic.True }
}

func newMachine(b *testing.B, q question) (m *logic.Machine, rule int) {
	var set logic.Builder
	rule = set.Rule(compile(b, q.logic))
	return set.Build().NewMachine(), rule
}

// plainCondition is the plain evaluator, which the machine is held against.
func plainCondition(b *testing.B, q question) condition {
	e := compile(b, q.logic)
	return func(values map[string]any) bool {
		v, err := e.Decide(values)
		return err == nil && v == logic.True
	}
}

// jsonlogicCondition has its rule decoded before.
func jsonlogicCondition(b *testing.B, q question) condition {
	var rule any
	require.NoError(b, json.Unmarshal([]byte(q.logic), &rule))
	return func(values map[string]any) bool {
		v, err := jsonlogic.ApplyInterface(rule, values)
		return err == nil && v == true
	}
}

// rawWay is the library's own way from bytes, which decodes the rule each time.
func rawWay(_ *testing.B, q question, samples []sample) func(int) bool {
	rule := json.RawMessage(q.logic)
	return func(i int) bool {
		v, err := jsonlogic.ApplyRaw(rule, samples[i].text)
		return err == nil && string(v) == "true"
	}
}

// exprCondition is compiled with the types of the fields and has one virtual
// machine for all its runs: the fastest of expr's forms over a map.
func exprCondition(b *testing.B, q question) condition {
	fields := map[string]any{
		"temperature": 0.0, "humidity": 0.0, "pressure": 0.0, "status": "", "zone": "",
		"motor": map[string]any{"rpm": 0.0}, "items": []any{},
	}
	program, err := expr.Compile(q.expr, expr.Env(fields), expr.AsBool())
	require.NoError(b, err)
	var machine vm.VM
	return func(values map[string]any) bool {
		v, err := machine.Run(program, values)
		return err == nil && v == true
	}
}

// machineFields are the fields of tenFields that the questions read.
type machineFields struct {
	Temperature float64 `json:"temperature" expr:"temperature"`
	Humidity    float64 `json:"humidity" expr:"humidity"`
	Status      string  `json:"status" expr:"status"`
	Zone        string  `json:"zone" expr:"zone"`
	Motor       struct {
		RPM float64 `json:"rpm" expr:"rpm"`
	} `json:"motor" expr:"motor"`
}

// structWay decodes each sample into a struct. The program is compiled for the
// struct and run on a pointer to it: the fastest of expr's forms over a struct.
func structWay(b *testing.B, q question, samples []sample) func(int) bool {
	program, err := expr.Compile(q.expr, expr.Env(machineFields{}), expr.AsBool())
	require.NoError(b, err)
	var machine vm.VM
	var fields machineFields
	return func(i int) bool {
		fields = machineFields{}
		if err := json.Unmarshal(samples[i].text, &fields); err != nil {
			b.Fatal(err)
		}
		v, err := machine.Run(program, &fields)
		return err == nil && v == true
	}
}

// celCondition is checked with the types of the fields and optimized: the
// fastest of cel's forms over a map.
func celCondition(b *testing.B, q question) condition {
	env, err := celEnv()
	require.NoError(b, err)
	ast, issues := env.Compile(q.cel)
	require.NoError(b, issues.Err())
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	require.NoError(b, err)
	return func(values map[string]any) bool {
		v, _, err := program.Eval(values)
		return err == nil && v == types.True
	}
}

var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	numbers := cel.MapType(cel.StringType, cel.DoubleType)
	return cel.NewEnv(
		cel.Variable("temperature", cel.DoubleType),
		cel.Variable("humidity", cel.DoubleType),
		cel.Variable("pressure", cel.DoubleType),
		cel.Variable("status", cel.StringType),
		cel.Variable("zone", cel.StringType),
		cel.Variable("motor", numbers),
		cel.Variable("items", cel.ListType(numbers)),
		cel.Function("sum", cel.MemberOverload("list_sum", []*cel.Type{cel.ListType(cel.DoubleType)}, cel.DoubleType, cel.UnaryBinding(celSum))),
	)
})

func celSum(list ref.Val) ref.Val {
	numbers, sum := list.(traits.Lister), types.Double(0)
	for i := range numbers.Size().(types.Int) {
		sum += numbers.Get(i).(types.Double)
	}
	return sum
}
