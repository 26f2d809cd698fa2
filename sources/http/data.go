package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
)

// check wants data to be what encoding/json reads into a map: JSON, not too
// deep, and every number in the range of a 64-bit float. at is where it is not.
func check(data []byte) (at int, err error) {
	if json.Valid(data) {
		return checkNumbers(data)
	}
	var discard json.RawMessage
	err = json.Unmarshal(data, &discard)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = int(e.Offset) - 1
	}
	return min(max(at, 0), len(data)), err
}

// checkNumbers wants the numbers of a valid document to be in range.
func checkNumbers(data []byte) (at int, err error) {
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			i = endOfString(data, i)
		case c == '-' || '0' <= c && c <= '9':
			end := i + endOfNumber(data[i:])
			if !inRange(data[i:end]) {
				return i, errors.New("number " + shown(data[i:end]) + " is out of range; want one that a 64-bit float can hold")
			}
			i = end - 1
		}
	}
	return 0, nil
}

// endOfString is where the string that begins at i has its closing quote.
func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}

func endOfNumber(data []byte) int {
	for i, c := range data {
		switch {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return i
		}
	}
	return len(data)
}

func inRange(number []byte) bool {
	if len(number) < 300 && !bytes.ContainsAny(number, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return err == nil
}

func shown(number []byte) string {
	const most = 60
	if len(number) > most {
		return string(number[:most]) + "…"
	}
	return string(number)
}

// wrong gives a complaint the place behind before, which begins on line n.
func wrong(before []byte, n int, pointer string, err error) *strictjson.Error {
	return &strictjson.Error{
		File:    "body",
		Line:    n + bytes.Count(before, []byte("\n")),
		Col:     utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
		Pointer: pointer,
		Err:     err,
	}
}
