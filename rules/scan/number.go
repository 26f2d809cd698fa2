package scan

import "strconv"

// powers are those of ten that a float64 has exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

const (
	maxExact  = 1 << 53         // every whole number up to it is a float64
	maxPower  = len(powers) - 1 // ten to it is one, too
	maxDigits = 19              // as many fit in a uint64
	maxSafe   = 300             // below ten to it a number is in float64's range
	hugePower = 100_000         // exponents beyond it do not differ
)

// number reads the number at p as strconv.ParseFloat does. Most numbers are
// short: those are read from a word, without a loop.
func number(text []byte, p int) (float64, int) {
	start := p
	if text[p] == '-' {
		p++
	}
	var w uint64
	if within(text, p, 8) {
		w = eight(text, p)
	} else {
		w = upToEight(text, p)
	}
	whole, size := measure(w)
	if !isShort(w, whole, size) {
		return longNumber(text, start)
	}
	digits, count := w^'0'*ones, size
	if size > whole {
		digits = digits&below(whole) | digits>>8&^below(whole) // without the point
		count -= 8
	}
	num := float64(int64(decimal(digits << ((64 - count) & 63))))
	if size > whole {
		num /= powers[(count-whole)/8]
	}
	if p > start {
		num = -num
	}
	return num, p + int(size/8)
}

// skipNumber skips a number that nobody reads. It must be in range all the same.
func skipNumber(text []byte, p int) int {
	start := p
	if text[p] == '-' {
		p++
	}
	var w uint64
	if within(text, p, 8) {
		w = eight(text, p)
	} else {
		w = upToEight(text, p)
	}
	whole, size := measure(w)
	if !isShort(w, whole, size) {
		return skipLongNumber(text, start)
	}
	return p + int(size/8)
}

// measure gives how many bits of a word are digits, and how many are a number
// without sign and exponent: 0 when it does not end within the word.
func measure(w uint64) (whole, size uint) {
	ends := nonDigits(w ^ '0'*ones)
	whole = firstMark(ends)
	if byte(w>>whole) != '.' {
		return whole, whole
	}
	return whole, firstMark(ends & (ends - 1))
}

// isShort says whether what was measured is a number as JSON has it, and all of it.
func isShort(w uint64, whole, size uint) bool {
	return whole > 0 && (size == whole || size > whole+8) && (whole == 8 || byte(w) != '0') && byte(w>>(size&63))|0x20 != 'e'
}

// literal is a number as it is written: digits times ten to the power.
type literal struct {
	negative bool
	digits   uint64 // without those beyond maxDigits it is wrong
	count    int    // of the digits
	power    int
	end      int
}

// longNumber reads any number.
func longNumber(text []byte, p int) (float64, int) {
	l := readLiteral(text, p)
	if l.end < 0 {
		return 0, failed
	}
	if l.count > maxDigits || l.digits > maxExact || l.power < -maxPower || l.power > maxPower {
		num, err := strconv.ParseFloat(string(text[p:l.end]), 64)
		if err != nil {
			return 0, failed
		}
		return num, l.end
	}
	num := float64(int64(l.digits))
	if l.power < 0 {
		num /= powers[-l.power]
	} else {
		num *= powers[l.power]
	}
	if l.negative {
		num = -num
	}
	return num, l.end
}

func skipLongNumber(text []byte, p int) int {
	l := readLiteral(text, p)
	if l.end >= 0 && l.count+l.power > maxSafe {
		_, l.end = longNumber(text, p)
	}
	return l.end
}

func readLiteral(text []byte, p int) literal {
	var l literal
	if text[p] == '-' {
		l.negative = true
		p++
	}
	start := p
	p = l.readDigits(text, p)
	if p == start || p > start+1 && text[start] == '0' {
		return literal{end: failed}
	}
	if p < len(text) && text[p] == '.' {
		start = p + 1
		p = l.readDigits(text, start)
		l.power = start - p
		if p == start {
			return literal{end: failed}
		}
	}
	l.end = p
	if p < len(text) && text[p]|0x20 == 'e' {
		l.readPower(text, p+1)
	}
	return l
}

func (l *literal) readDigits(text []byte, p int) int {
	start := p
	for p < len(text) && text[p]-'0' <= 9 {
		l.digits = l.digits*10 + uint64(text[p]-'0')
		p++
	}
	l.count += p - start
	return p
}

// readPower reads an exponent after its letter.
func (l *literal) readPower(text []byte, p int) {
	negative := p < len(text) && text[p] == '-'
	if negative || p < len(text) && text[p] == '+' {
		p++
	}
	start, power := p, 0
	for p < len(text) && text[p]-'0' <= 9 {
		power = min(power*10+int(text[p]-'0'), hugePower)
		p++
	}
	if negative {
		power = -power
	}
	l.power += power
	l.end = p
	if p == start {
		l.end = failed
	}
}
