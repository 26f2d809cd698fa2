package iotevents

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// expression is a node of a parsed expression.
type expression any

type (
	literal struct { // a number, a text, true or false
		kind kind
		text string
	}
	reference struct { // $input.NAME.path or $variable.NAME
		of   string // input or variable
		name string
		path []string
	}
	operation struct { // one operand or two
		operator string
		operands []expression
	}
	call struct {
		function string
		args     []expression
	}
)

// kind is what a token is.
type kind uint8

const (
	end kind = iota
	numeral
	quotation
	truth
	name
	symbol
)

type token struct {
	kind kind
	text string // of a quotation what is in it
	at   int    // in characters, from 1
}

// maxNesting bounds an expression: nobody writes deeper.
const maxNesting = 100

// parse reads an expression of AWS IoT Events. The error names the character.
func parse(text string) (expression, error) {
	p := parser{}
	if err := p.scan(text); err != nil {
		return nil, err
	}
	e, err := p.binary(0, 0)
	if err == nil && p.peek().kind != end {
		err = p.unexpected("an operator")
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

type parser struct {
	tokens []token
	next   int
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != end {
		p.next++
	}
	return t
}

func (p *parser) is(text string) bool {
	t := p.peek()
	return t.kind == symbol && t.text == text
}

func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.kind == end {
		return fmt.Errorf("the expression ends too early; want %s", want)
	}
	return fmt.Errorf("%q at character %d; want %s", t.text, t.at, want)
}

// levels are the binary operators from the loosest to the tightest.
var levels = [][]string{{"||"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"==", "!="}, {"<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "%"}}

func (p *parser) binary(level, depth int) (expression, error) {
	if level == len(levels) {
		return p.unary(depth)
	}
	left, err := p.binary(level+1, depth)
	for err == nil {
		op := ""
		for _, candidate := range levels[level] {
			if p.is(candidate) {
				op = candidate
			}
		}
		if op == "" {
			return left, nil
		}
		p.take()
		var right expression
		right, err = p.binary(level+1, depth)
		left = operation{op, []expression{left, right}}
	}
	return nil, err
}

func (p *parser) unary(depth int) (expression, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d levels", maxNesting)
	}
	for _, op := range []string{"!", "-", "~"} {
		if !p.is(op) {
			continue
		}
		p.take()
		operand, err := p.unary(depth + 1)
		if err != nil {
			return nil, err
		}
		if number, ok := operand.(literal); ok && op == "-" && number.kind == numeral {
			return literal{numeral, "-" + number.text}, nil
		}
		return operation{op, []expression{operand}}, nil
	}
	return p.primary(depth)
}

func (p *parser) primary(depth int) (expression, error) {
	t := p.peek()
	switch {
	case t.kind == numeral || t.kind == quotation || t.kind == truth:
		p.take()
		return literal{t.kind, t.text}, nil
	case p.is("("):
		p.take()
		e, err := p.binary(0, depth+1)
		if err == nil && !p.is(")") {
			err = p.unexpected(`")"`)
		}
		p.take()
		return e, err
	case p.is("$"):
		p.take()
		return p.reference()
	case t.kind == name:
		p.take()
		if p.is("(") {
			return p.call(t.text, depth)
		}
		return literal{quotation, t.text}, nil // a bare word, such as Decimal in convert
	}
	return nil, p.unexpected("a value")
}

func (p *parser) call(function string, depth int) (expression, error) {
	p.take()
	c := call{function: function}
	for !p.is(")") {
		arg, err := p.binary(0, depth+1)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
		if p.is(",") {
			p.take()
		} else if !p.is(")") {
			return nil, p.unexpected(`"," or ")"`)
		}
	}
	p.take()
	return c, nil
}

func (p *parser) reference() (expression, error) {
	of := p.take()
	if of.kind != name || of.text != "input" && of.text != "variable" {
		return nil, fmt.Errorf(`"$%s" at character %d; want $input or $variable`, of.text, of.at)
	}
	var parts []string
	for p.is(".") || p.is("[") {
		isIndex := p.is("[")
		p.take()
		t := p.take()
		if t.kind != name && t.kind != numeral && t.kind != quotation && t.kind != truth {
			p.next--
			return nil, p.unexpected("a name")
		}
		parts = append(parts, t.text)
		if isIndex {
			if !p.is("]") {
				return nil, p.unexpected(`"]"`)
			}
			p.take()
		}
	}
	if len(parts) == 0 {
		return nil, p.unexpected(fmt.Sprintf("a name behind $%s", of.text))
	}
	return reference{of.text, parts[0], parts[1:]}, nil
}

// symbols from the longest to the shortest.
var symbols = []string{"||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "~", "|", "&", "^", "(", ")", ",", ".", "[", "]", "$"}

func (p *parser) scan(text string) error {
	for at := 1; ; {
		blank := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
		text, at = text[blank:], at+blank
		if text == "" {
			p.tokens = append(p.tokens, token{end, "", at})
			return nil
		}
		t, size, err := p.token(text, at)
		if err != nil {
			return err
		}
		p.tokens = append(p.tokens, t)
		at += utf8.RuneCountInString(text[:size])
		text = text[size:]
	}
}

// token is the first token of the text, and how many bytes it has.
func (p *parser) token(text string, at int) (token, int, error) {
	c, _ := utf8.DecodeRuneInString(text)
	switch {
	case unicode.IsDigit(c):
		size := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsDigit(r) && (r != '.' || p.afterDot()) })
		if size < 0 {
			size = len(text)
		}
		return token{numeral, strings.TrimSuffix(text[:size], "."), at}, len(strings.TrimSuffix(text[:size], ".")), nil
	case c == '\'' || c == '"' || c == '`':
		return quoted(text, c, at)
	case unicode.IsLetter(c) || c == '_':
		size := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
		if size < 0 {
			size = len(text)
		}
		word := text[:size]
		if word == "true" || word == "false" {
			return token{truth, word, at}, size, nil
		}
		return token{name, word, at}, size, nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(text, s) {
			return token{symbol, s, at}, len(s), nil
		}
	}
	return token{}, 0, fmt.Errorf("%q at character %d; want an operator or a value", c, at)
}

// afterDot says whether digits are a part of a path, as in $input.x.0.y.
func (p *parser) afterDot() bool {
	n := len(p.tokens)
	return n > 0 && p.tokens[n-1].kind == symbol && p.tokens[n-1].text == "."
}

func quoted(text string, quote rune, at int) (token, int, error) {
	var b strings.Builder
	escaped := false
	for i, c := range text[1:] {
		switch {
		case escaped:
			b.WriteRune(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == quote && quote == '`':
			return token{name, b.String(), at}, i + 2, nil
		case c == quote:
			return token{quotation, b.String(), at}, i + 2, nil
		default:
			b.WriteRune(c)
		}
	}
	return token{}, 0, fmt.Errorf("a text begins at character %d and does not end", at)
}
