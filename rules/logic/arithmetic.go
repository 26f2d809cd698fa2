package logic

import "math"

// finite is the result of an operation; what is no finite number fails.
func finite(f float64) (any, *Error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errNaN
	}
	return f, nil
}

func add(m *machine, operands []any) (any, *Error) {
	sum := 0.0
	for _, v := range operands {
		f, err := m.leadingNumber(v)
		if err != nil {
			return nil, err
		}
		sum += f
	}
	return finite(sum)
}

func multiply(m *machine, operands []any) (any, *Error) {
	product := 1.0
	for _, v := range operands {
		f, err := m.leadingNumber(v)
		if err != nil {
			return nil, err
		}
		product *= f
	}
	return finite(product)
}

// subtract takes all further operands from the first; of a single one it gives
// the negative.
func subtract(m *machine, operands []any) (any, *Error) {
	if len(operands) == 1 {
		f, err := m.number(operands[0])
		if err != nil {
			return nil, err
		}
		return finite(-f)
	}
	return fold(m, operands, minus)
}

func minus(a, b float64) float64 { return a - b }

// divide divides the first operand by all further ones; of a single one it
// gives the reciprocal.
func divide(m *machine, operands []any) (any, *Error) {
	if len(operands) == 1 {
		f, err := m.number(operands[0])
		if err != nil {
			return nil, err
		}
		return finite(1 / f)
	}
	return fold(m, operands, over)
}

func over(a, b float64) float64 {
	if b == 0 {
		return math.NaN() // not an infinity, which a further division would make 0
	}
	return a / b
}

// modulo keeps the sign of the first operand.
func modulo(m *machine, operands []any) (any, *Error) {
	if len(operands) < 2 {
		return nil, errInvalid
	}
	return fold(m, operands, math.Mod)
}

func largest(m *machine, operands []any) (any, *Error) { return fold(m, operands, math.Max) }

func smallest(m *machine, operands []any) (any, *Error) { return fold(m, operands, math.Min) }

// fold combines the operands from the first on.
func fold(m *machine, operands []any, combine func(a, b float64) float64) (any, *Error) {
	if len(operands) == 0 {
		return nil, errInvalid
	}
	result, err := m.number(operands[0])
	if err != nil {
		return nil, err
	}
	for _, v := range operands[1:] {
		f, err := m.number(v)
		if err != nil {
			return nil, err
		}
		result = combine(result, f)
	}
	return finite(result)
}
