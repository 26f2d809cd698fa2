package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// log is the file that is written. Others may write, rotate and rename it at
// the same time: everything is done under the file's lock, and on the file that
// has the name now.
type log struct {
	Config
	file *os.File // nil: not open
}

// mode is who may read what is written.
const mode = 0o640

// append appends lines, all or none.
func (l *log) append(lines []byte, now time.Time) error {
	size, release, err := l.ready(len(lines), now)
	if err != nil {
		return err
	}
	defer release()
	_, err = l.file.Write(lines)
	if err == nil {
		return nil
	}
	if cutErr := l.file.Truncate(size); cutErr != nil {
		_ = l.close() // the next who opens it mends it
	}
	return err
}

// ready gives the size of the file, which is locked, ends with a whole line, and
// has room for more bytes.
func (l *log) ready(more int, now time.Time) (size int64, release func(), err error) {
	for {
		if err := l.open(); err != nil {
			return 0, nil, err
		}
		file := l.file
		release = func() { _ = unlock(file) }
		if err := lock(file); err != nil {
			return 0, nil, fmt.Errorf("lock %s: %w", l.Path, err)
		}
		info, err := file.Stat()
		if err == nil && !l.isNamed(info) {
			release()
			err = l.close()
			if err == nil {
				continue
			}
		}
		if err == nil && l.full(info, int64(more), now) {
			err = l.rotate(info, now)
			release()
			if err == nil {
				continue
			}
		}
		if err != nil {
			release()
			return 0, nil, err
		}
		return info.Size(), release, nil
	}
}

// isNamed says whether the open file is the one that has the name.
func (l *log) isNamed(open os.FileInfo) bool {
	named, err := os.Stat(l.Path)
	return err == nil && os.SameFile(open, named)
}

// full says whether lines are to go to another file.
func (l *log) full(info os.FileInfo, more int64, now time.Time) bool {
	if info.Size() == 0 {
		return false
	}
	return l.MaxBytes > 0 && info.Size()+more > l.MaxBytes ||
		l.MaxAge > 0 && now.Truncate(l.MaxAge).After(info.ModTime().Truncate(l.MaxAge))
}

func (l *log) open() error {
	if l.file != nil {
		return nil
	}
	f, err := os.OpenFile(l.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, mode) //nolint:gosec // it is the operator's path
	if err != nil {
		return err
	}
	if err := errors.Join(mend(f), syncFolder(l.Path)); err != nil {
		_ = f.Close()
		return err
	}
	l.file = f
	return nil
}

func (l *log) sync() error {
	if l.file == nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		_ = l.close() // what the system still has of it nobody knows
		return err
	}
	return nil
}

func (l *log) close() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file = nil
	return err
}

// syncFolder brings the names of files to the disk.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // it was only read
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// ours is how a line begins.
const ours = `{"kind":`

// mend lets the file end with a whole line. What a crash has left of one of ours
// goes; anything else becomes a line.
func mend(f *os.File) error {
	if err := lock(f); err != nil {
		return err
	}
	defer unlock(f) //nolint:errcheck // closing it does the same
	info, err := f.Stat()
	if err != nil {
		return err
	}
	begin, err := lastLine(f, info.Size())
	if err != nil || begin == info.Size() {
		return err
	}
	head := make([]byte, min(int64(len(ours)), info.Size()-begin))
	if _, err := f.ReadAt(head, begin); err != nil {
		return err
	}
	if bytes.HasPrefix([]byte(ours), head) {
		return f.Truncate(begin)
	}
	_, err = f.Write([]byte("\n"))
	return err
}

// lastLine is where the line begins that the file ends with: at its end when that is whole.
func lastLine(f io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(block)))
		n, err := f.ReadAt(block[:end-begin], begin)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}
