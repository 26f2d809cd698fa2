package sources

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// MaxLineBytes bounds a line of a recording. Nothing larger than 256 KiB
	// is a sample, so what is longer than this has lost its line ends.
	MaxLineBytes = 1 << 20
	// keptBytes is as much of a broken line as a dead letter keeps.
	keptBytes = 64 << 10
	// byteOrderMark opens the files of some spreadsheets; it says nothing.
	byteOrderMark = "\xef\xbb\xbf"
)

// lines reads a text line by line and survives lines of any length.
type lines struct {
	r   *bufio.Reader
	n   int // of the line that next has returned last, from 1
	buf []byte
}

func newLines(r io.Reader) lines { return lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line without its end, valid until the next call. A line
// longer than MaxLineBytes comes cut, and the rest of it is skipped. The error
// is io.EOF behind the last line.
func (l *lines) next() (line []byte, cut bool, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, cut, err = l.long(line)
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, false, err
	}
	l.n++
	if l.n == 1 {
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), cut, nil
}

// long reads on where the reader's buffer was too small for the line.
func (l *lines) long(start []byte) (line []byte, cut bool, err error) {
	l.buf = append(l.buf[:0], start...)
	for {
		more, err := l.r.ReadSlice('\n')
		room := MaxLineBytes - len(l.buf)
		cut = cut || len(more) > room
		l.buf = append(l.buf, more[:min(len(more), room)]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.buf, cut, err
		}
	}
}
