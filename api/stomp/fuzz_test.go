package stomp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// read reads all frames of a stream, and gives them as the frame package writes them.
func read(t *testing.T, in io.Reader, v version) (frames []string, err error) {
	t.Helper()
	limits := Limits{Frame: 4096, Headers: 8, Line: 200}.orDefault()
	r := newReader(in, &limits)
	r.version = v
	for {
		f, err := r.next()
		if err != nil {
			assert.LessOrEqual(t, cap(r.raw), keptRaw, "memory is given back")
			return frames, err
		}
		if f == nil {
			frames = append(frames, "")
			continue
		}
		assert.LessOrEqual(t, f.Header.Len(), 8)
		assert.LessOrEqual(t, len(f.Body), 4096)
		assert.Contains(t, commands, f.Command)
		var b bytes.Buffer
		require.NoError(t, frame.NewWriter(&b).Write(f))
		frames = append(frames, b.String())
	}
}

// However a stream is cut, it holds the same frames and ends with the same fault.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "\r\n\n", "CONNECT\naccept-version:1.2\n\n\x00", "SEND\r\na:b\\c\\\\\r\n\r\n\x00\nACK\nid:1\n\n\x00",
		"SEND\ncontent-length:3\n\n\x00\n\x00\x00", "SEND\ncontent-length:9999999999\n\nx\x00", "SEND\ncontent-length:1\ncontent-length:3\n\nx\x00",
		"SEND\na:b\\t\n\n\x00", "SEND\n:\n\n\x00", "HELLO\n\n\x00", "\r\rSEND\n\n\x00", "NACK\na\n\n\x00", "SEND\n\n" + string(bytes.Repeat([]byte("x"), 5000)) + "\x00",
		"SUBSCRIBE\n" + string(bytes.Repeat([]byte("a:b\n"), 9)) + "\n\x00", "BEGIN\na:" + string(bytes.Repeat([]byte("b"), 300)) + "\n\n\x00",
		string(bytes.Repeat([]byte("0"), 300)) + "\x00",
	} {
		f.Add([]byte(seed), uint8(2))
	}
	f.Fuzz(func(t *testing.T, stream []byte, v uint8) {
		spoken := []version{0, v10, v11, v12}[v%4]
		whole, fault := read(t, bytes.NewReader(stream), spoken)
		cut, cutFault := read(t, iotest.OneByteReader(bytes.NewReader(stream)), spoken)
		assert.Equal(t, whole, cut)
		assert.Equal(t, fault.Error(), cutFault.Error())
		if _, ours := errors.AsType[*refusal](fault); !ours {
			assert.True(t, errors.Is(fault, io.EOF) || errors.Is(fault, io.ErrUnexpectedEOF), "%v", fault)
		}
	})
}

// What is written for STOMP 1.2 is what the frame package writes, and it reads it.
func FuzzEncode(f *testing.F) {
	f.Add("id", "a:b\\c\n\r", []byte("\x00"))
	f.Add("destination", "/topic/alerts/>", []byte(nil))
	f.Fuzz(func(t *testing.T, name, value string, body []byte) {
		if name == frame.ContentLength {
			return
		}
		var want bytes.Buffer
		wanted := frame.New(frame.MESSAGE, name, value)
		if body != nil {
			wanted.Header.Add(frame.ContentLength, string(appendLength(body)))
			wanted.Body = body
		}
		require.NoError(t, frame.NewWriter(&want).Write(wanted))
		got := encode(v12, frame.MESSAGE, body, name, value)
		assert.Equal(t, want.String(), string(got))
		if name == "" {
			return // the frame package does not read what it writes then
		}
		read, err := frame.NewReader(bytes.NewReader(got)).Read()
		require.NoError(t, err)
		has, _ := read.Header.GetAt(0)
		assert.Equal(t, name, has)
		assert.Equal(t, value, read.Header.Get(name))
		assert.Equal(t, string(body), string(read.Body))
	})
}

func appendLength(body []byte) []byte {
	b := appendBody(nil, body)
	b = bytes.TrimPrefix(b, []byte(frame.ContentLength+":"))
	n, _, _ := bytes.Cut(b, []byte("\n"))
	return n
}

// No destination breaks the server, and what it makes of one is a topic whose
// pattern has no empty token.
func FuzzDestination(f *testing.F) {
	for _, shape := range shapes {
		f.Add(shape.path)
	}
	for _, seed := range []string{"", "/", "/topic/alerts/*/critical/a:b/%2A/>", "/topic/stickers/%/%zz", "/twins/%2F/feeds/%00"} {
		f.Add(seed)
	}
	s := New(Options{Host: "{host}", Name: "plant"})
	f.Fuzz(func(t *testing.T, text string) {
		d, err := s.destination(text)
		if err != nil {
			assert.NotEqual(t, internal, codeOf(err))
			return
		}
		if d.topic.Pattern != "" {
			assert.NotContains(t, "."+d.topic.Pattern+".", "..", text)
		}
		assert.NotEmpty(t, d.topic.Kind)
	})
}
