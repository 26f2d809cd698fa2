package strictjson

import (
	"bytes"
	"unicode/utf8"
)

// Lines finds lines and columns in a text, also many of them in a long one.
type Lines struct {
	text  []byte
	marks []mark // at each multiple of markEvery
}

type mark struct{ line, col int }

const markEvery = 1 << 8

// NewLines reads the text once. It must not change afterwards.
func NewLines(text []byte) *Lines {
	l := &Lines{text: text}
	at := mark{1, 1}
	for from := 0; from < len(text); from += markEvery {
		l.marks = append(l.marks, at)
		at = at.behind(text[from:min(from+markEvery, len(text))])
	}
	return l
}

// behind is the mark of what follows a piece of text.
func (m mark) behind(piece []byte) mark {
	if n := bytes.Count(piece, []byte("\n")); n > 0 {
		m.line, m.col = m.line+n, 1
		piece = piece[bytes.LastIndexByte(piece, '\n')+1:]
	}
	for _, c := range piece {
		if utf8.RuneStart(c) {
			m.col++
		}
	}
	return m
}

// LineCol is where an offset in bytes lies, both from 1. Columns count
// characters (Unicode code points): a tab is one, an é of two bytes is one.
func (l *Lines) LineCol(offset int) (line, col int) {
	offset = min(offset, len(l.text))
	block := offset / markEvery
	if block >= len(l.marks) {
		block = len(l.marks) - 1
	}
	if block < 0 {
		return 1, 1
	}
	at := l.marks[block].behind(l.text[block*markEvery : offset])
	return at.line, at.col
}

// Line is the line of that offset, without its end.
func (l *Lines) Line(offset int) []byte {
	offset = min(offset, len(l.text))
	start := bytes.LastIndexByte(l.text[:offset], '\n') + 1
	line := l.text[start:]
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
	}
	return bytes.TrimSuffix(line, []byte("\r"))
}
