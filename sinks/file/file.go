// Package file is the sink that appends outcomes to a file, each as a line of
// JSON. It rotates the file, and notices when somebody else has. A line that a
// crash has cut is taken away before the next one is written: its outcome was not
// delivered and comes again.
package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// Config says which file, how much of it is kept, and how safe it is.
type Config struct {
	Path     string        `json:"path" strict:"required"`
	MaxBytes int64         `json:"maxBytes"` // a larger file is rotated; 100 MiB unless said, 0: any size
	MaxAge   time.Duration `json:"maxAge"`   // what is delivered in each such span of time (of UTC) has a file of its own; 0: no matter when
	Keep     int           `json:"keep"`     // rotated files that are kept, 10 unless said; 0: all
	Gzip     bool          `json:"gzip"`     // rotated files are compressed; true unless said
	Sync     string        `json:"sync"`     // always: an outcome has arrived when the disk has it; interval: the disk has it a second later
}

// The values of Config.Sync.
const (
	syncAlways   = "always"
	syncInterval = "interval"
)

// interval is how long the disk may not have what has arrived.
const interval = time.Second

// New makes the sink of its Config. It opens the file when there is something to deliver.
func New(raw strictjson.Raw) (sinks.Sink, error) {
	c := Config{MaxBytes: 100 << 20, Keep: 10, Gzip: true, Sync: syncAlways}
	errs := []error{raw.Decode(&c)}
	if c.MaxBytes < 0 {
		errs = append(errs, raw.Member("maxBytes").At.Errorf("got %d; want bytes, or 0 for any size", c.MaxBytes))
	}
	if c.Keep < 0 {
		errs = append(errs, raw.Member("keep").At.Errorf("got %d; want a number of files, or 0 for all", c.Keep))
	}
	if known := []string{syncAlways, syncInterval}; c.Sync != syncAlways && c.Sync != syncInterval {
		errs = append(errs, raw.Member("sync").At.Errorf("got %q%s", c.Sync, strictjson.OneOf(c.Sync, known)))
	}
	if at := raw.Member("path"); at.Kind() == strictjson.String {
		if err := checkPath(c.Path); err != nil {
			errs = append(errs, at.At.Errorf("%w", err))
		}
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return &sink{Config: c, turn: make(chan struct{}, 1), next: newBatch()}, nil
}

// checkPath says why there can be no such file. It makes nothing.
func checkPath(path string) error {
	if path == "" {
		return errors.New(`got ""; want the path of a file`)
	}
	dir, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		return fmt.Errorf("%w; want a folder that is there", err)
	case !dir.IsDir():
		return fmt.Errorf("%s is no folder", filepath.Dir(path))
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0) //nolint:gosec // it is the operator's path
	if err != nil {
		return err
	}
	return f.Close()
}

type sink struct {
	Config

	mu   sync.Mutex
	next *batch // that nobody has begun to write

	turn  chan struct{} // held by whoever looks at what follows
	log   *log          // nil: not open
	over  bool
	timer *time.Timer // syncs what was written; nil: everything is
	late  error       // of that
}

// batch is lines that are written together.
type batch struct {
	lines []byte
	done  chan struct{}
	err   error
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Holds implements sinks.Holder.
func (s *sink) Holds() string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(s.Path))
	if err != nil {
		dir = filepath.Dir(s.Path)
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	return "the file " + filepath.Join(dir, filepath.Base(s.Path))
}

// Deliver appends one line. What is delivered at the same time is written, and
// brought to the disk, at once. An error, such as a full disk, is again later, and
// leaves no part of the line.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.join(&o)
	select {
	case s.turn <- struct{}{}:
		s.write(b)
		<-s.turn
	case <-b.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.err != nil {
		return fmt.Errorf("file sink: %w", b.err)
	}
	return nil
}

func (s *sink) join(o *rules.Outcome) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.lines = append(o.AppendJSON(s.next.lines), '\n')
	return s.next
}

// write writes the batch, unless it is written.
func (s *sink) write(b *batch) {
	select {
	case <-b.done:
		return
	default:
	}
	s.mu.Lock()
	s.next = newBatch()
	s.mu.Unlock()
	b.err = s.append(b.lines)
	close(b.done)
}

func (s *sink) append(lines []byte) error {
	if s.over {
		return errors.New("closed")
	}
	if err := s.late; err != nil {
		s.late = nil
		return err
	}
	if s.log == nil {
		s.log = &log{Config: s.Config}
	}
	now := time.Now()
	if err := s.log.append(lines, now); err != nil {
		return err
	}
	if s.Sync == syncInterval {
		if s.timer == nil {
			s.timer = time.AfterFunc(interval, s.syncLater)
		}
		return nil
	}
	return s.log.sync()
}

// syncLater brings to the disk what was written. Its error is that of the next delivery.
func (s *sink) syncLater() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.timer != nil {
		s.timer, s.late = nil, s.log.sync()
	}
}

// Close brings everything to the disk.
func (s *sink) Close() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.log == nil {
		return nil
	}
	err := s.log.close()
	s.log = nil
	if err = errors.Join(s.late, err); err != nil {
		return fmt.Errorf("file sink: %w", err)
	}
	return nil
}
