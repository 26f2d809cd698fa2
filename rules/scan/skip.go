package scan

// blanks skips blanks.
func blanks(text []byte, p int) int {
	for p < len(text) && text[p] <= ' ' && (text[p] == ' ' || text[p] == '\n' || text[p] == '\t' || text[p] == '\r') {
		p++
	}
	return p
}

// word reads true, false or null.
func word(text []byte, p int) (Kind, int) {
	switch text[p] {
	case 't':
		return True, skipWord(text, p, "true")
	case 'f':
		return False, skipWord(text, p, "false")
	case 'n':
		return Null, skipWord(text, p, "null")
	}
	return Missing, failed
}

func skipWord(text []byte, p int, word string) int {
	if len(text)-p >= len(word) && string(text[p:p+len(word)]) == word {
		return p + len(word)
	}
	return failed
}

// skip skips a value that nobody reads. It must be as valid as any other.
func skip(text []byte, p, depth int) int {
	if p >= len(text) {
		return failed
	}
	switch c := text[p]; {
	case c == '"':
		end, _ := skipText(text, p)
		return end
	case c <= '9':
		return skipNumber(text, p)
	case c == '{':
		return skipObject(text, p, depth)
	case c == '[':
		return skipList(text, p, depth)
	}
	_, end := word(text, p)
	return end
}

func skipList(text []byte, p, depth int) int {
	if depth >= MaxDepth {
		return failed
	}
	p = blanks(text, p+1)
	if p < len(text) && text[p] == ']' {
		return p + 1
	}
	for {
		if p = skip(text, p, depth+1); p < 0 {
			return failed
		}
		more, q := next(text, p, ']')
		if !more {
			return q
		}
		p = q
	}
}

func skipObject(text []byte, p, depth int) int {
	if depth >= MaxDepth {
		return failed
	}
	p = blanks(text, p+1)
	if p < len(text) && text[p] == '}' {
		return p + 1
	}
	for {
		if p = skipName(text, p); p < 0 {
			return failed
		}
		if p = skip(text, p, depth+1); p < 0 {
			return failed
		}
		more, q := next(text, p, '}')
		if !more {
			return q
		}
		p = q
	}
}

// skipName skips the name of a member and the colon after it.
func skipName(text []byte, p int) int {
	if p >= len(text) || text[p] != '"' {
		return failed
	}
	p, _ = skipText(text, p)
	if p < 0 {
		return failed
	}
	p = blanks(text, p)
	if p >= len(text) || text[p] != ':' {
		return failed
	}
	return blanks(text, p+1)
}

// next goes on after a value in a container: to the value after a comma, or to
// where the container ends.
func next(text []byte, p int, closing byte) (more bool, end int) {
	p = blanks(text, p)
	switch {
	case p >= len(text):
		return false, failed
	case text[p] == ',':
		return true, blanks(text, p+1)
	case text[p] == closing:
		return false, p + 1
	}
	return false, failed
}
