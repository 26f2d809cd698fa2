package stomp

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// version is that of the protocol: 10, 11 or 12; 0 before it is agreed.
type version int

const (
	v10 version = 10
	v11 version = 11
	v12 version = 12
)

// reader reads the frames of a client. It looks at their size and form before the
// frame package sees them, which takes any.
type reader struct {
	in      *bufio.Reader
	limits  *Limits
	version version
	began   time.Time // when the frame began that is being read; zero between frames
	raw     []byte    // of the frame
}

// readerBuffer is how much is read ahead; keptRaw how much memory a reader keeps.
const (
	readerBuffer = 1 << 10
	keptRaw      = 4 << 10
)

func newReader(r io.Reader, l *Limits) *reader {
	return &reader{in: bufio.NewReaderSize(r, readerBuffer), limits: l}
}

// next reads a frame, or nil for a heart-beat. The error is a [refusal] when the
// client is at fault.
func (r *reader) next() (*frame.Frame, error) {
	beat, err := r.begin()
	if err != nil || beat {
		return nil, err
	}
	defer r.end()
	body, err := r.head()
	if err == nil {
		err = r.body(body)
	}
	if err != nil {
		return nil, midway(err)
	}
	f, err := frame.NewReader(bytes.NewReader(r.raw)).Read()
	if err != nil || f == nil {
		return nil, refuse(invalid, "a frame that is none: %v", err)
	}
	return f, nil
}

// begin waits for the first byte of a frame, or for the newline of a heart-beat.
func (r *reader) begin() (beat bool, err error) {
	b, err := r.in.ReadByte()
	if err == nil && b == '\r' {
		if b, err = r.in.ReadByte(); err == nil && b != '\n' {
			return false, refuse(invalid, "a carriage return without a newline between frames")
		}
	}
	if err != nil || b == '\n' {
		return true, err
	}
	r.began = time.Now()
	return false, r.in.UnreadByte()
}

func (r *reader) end() {
	r.began = time.Time{}
	if r.raw = r.raw[:0]; cap(r.raw) > keptRaw {
		r.raw = nil
	}
}

// midway says that an end in the middle of a frame is not the end of the stream.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// commands are those of a client.
var commands = map[string]bool{
	frame.CONNECT: true, frame.STOMP: true, frame.SEND: true, frame.SUBSCRIBE: true, frame.UNSUBSCRIBE: true, frame.ACK: true,
	frame.NACK: true, frame.BEGIN: true, frame.COMMIT: true, frame.ABORT: true, frame.DISCONNECT: true,
}

// toNUL is the length of a body that ends at the first NUL.
const toNUL = -1

// head reads the command and the headers, and gives the length of the body.
func (r *reader) head() (body int, err error) {
	line, err := r.line(r.limits.Line)
	if err != nil {
		return 0, err
	}
	if !commands[string(line)] {
		return 0, refuse(invalid, "no command %.20q", line)
	}
	body = toNUL
	for n := 0; ; n++ {
		line, err := r.line(r.limits.Line)
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return body, nil
		}
		if n == r.limits.Headers {
			return 0, refuse(exhausted, "a frame with more than %d headers", r.limits.Headers)
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok || len(name) == 0:
			return 0, refuse(invalid, "a header %.40q; want NAME:VALUE", line)
		case !r.escaped(line):
			return 0, refuse(invalid, "header %.40q has an escape that STOMP %s does not know", name, r.version)
		case body == toNUL && string(name) == frame.ContentLength:
			if body, err = r.length(string(value)); err != nil {
				return 0, err
			}
		}
	}
}

// length reads a content-length.
func (r *reader) length(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > uint64(r.limits.Frame):
		return 0, r.tooLong()
	case err != nil:
		return 0, refuse(invalid, "content-length %.40q; want a number of bytes", text)
	}
	return int(n), nil
}

func (r *reader) tooLong() error {
	return refuse(exhausted, "a frame of more than %d bytes", r.limits.Frame)
}

// line reads one of at most a number of bytes into raw, and gives it without its
// end.
func (r *reader) line(most int) ([]byte, error) {
	from := len(r.raw)
	for {
		if _, err := r.in.Peek(1); err != nil {
			return nil, err
		}
		part, _ := r.in.Peek(r.in.Buffered()) // as much as there is, so that a NUL is seen at once
		// Not beyond the first byte that is too much: the answer is the same however the stream is cut.
		part = part[:min(len(part), most+3-(len(r.raw)-from), r.limits.Frame+1-len(r.raw))]
		end := bytes.IndexByte(part, '\n')
		part = part[:cmp.Or(end+1, len(part))]
		if bytes.IndexByte(part, 0) >= 0 {
			return nil, refuse(invalid, "a NUL in the command or the headers, which end with an empty line")
		}
		r.raw = append(r.raw, part...)
		if _, err := r.in.Discard(len(part)); err != nil {
			return nil, err
		}
		switch n := len(r.raw) - from; {
		case n > most+2, end >= 0 && n > most+1 && r.raw[len(r.raw)-2] != '\r':
			return nil, refuse(exhausted, "a line of more than %d bytes", most)
		case len(r.raw) > r.limits.Frame:
			return nil, r.tooLong()
		case end >= 0:
			return bytes.TrimSuffix(r.raw[from:len(r.raw)-1], []byte("\r")), nil
		}
	}
}

// escaped says whether all escapes of a header are those of the version. STOMP 1.0
// and what connects know none, but clients write them there too, so what looks
// like one is taken for it.
func (r *reader) escaped(line []byte) bool {
	if r.version < v11 {
		return true
	}
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			continue
		}
		if i++; i == len(line) {
			return false
		}
		switch c := line[i]; {
		case c == 'n', c == 'c', c == '\\', c == 'r' && r.version == v12:
		default:
			return false
		}
	}
	return true
}

// bodyPiece is how much memory is made for what has been announced and not come yet.
const bodyPiece = 32 << 10

// body reads n bytes and the NUL behind them into raw.
func (r *reader) body(n int) error {
	if n == toNUL {
		return r.bodyToNUL()
	}
	from := len(r.raw)
	if from+n > r.limits.Frame {
		return r.tooLong()
	}
	for end := from + n + 1; len(r.raw) < end; {
		has := len(r.raw)
		r.raw = append(r.raw, make([]byte, min(end-has, bodyPiece))...)
		if _, err := io.ReadFull(r.in, r.raw[has:]); err != nil {
			return err
		}
	}
	if r.raw[len(r.raw)-1] != 0 {
		return refuse(invalid, "no NUL after the %d bytes of content-length", n)
	}
	return nil
}

func (r *reader) bodyToNUL() error {
	for {
		part, err := r.in.ReadSlice(0)
		r.raw = append(r.raw, part...)
		switch {
		case len(r.raw) > r.limits.Frame+1:
			return r.tooLong()
		case err == nil:
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// String is the version as in a header.
func (v version) String() string {
	switch v {
	case v12:
		return "1.2"
	case v11:
		return "1.1"
	default:
		return "1.0"
	}
}
