// Package mapfile has files in memory without reading them: the system brings
// their pages when they are looked at. Where it cannot, they are read.
package mapfile

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"
)

// ErrCut is what the error wraps when a file became shorter while it was mapped.
var ErrCut = errors.New("the file was cut while it was read")

// File is a file in memory. Its text is valid until Close, and may be looked at
// only within Guard: a file that somebody cuts meanwhile has pages that are not
// there.
type File struct {
	name   string
	text   []byte
	mapped bool
	file   *os.File
}

// Open maps a regular file; one without a size, such as a pipe, is read.
func Open(name string) (*File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	f := &File{name: name, file: file}
	if err := f.load(); err != nil {
		file.Close() //nolint:errcheck // it was never read
		return nil, err
	}
	return f, nil
}

func (f *File) load() error {
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s: is a folder; want a file", f.name)
	case info.Mode().IsRegular() && info.Size() == 0:
		return nil
	case info.Mode().IsRegular():
		if f.text, err = mapped(f.file, info.Size()); err == nil {
			f.mapped = true
			return nil
		}
	}
	f.text, err = os.ReadFile(f.name)
	return err
}

// Name is the name under which the file was opened.
func (f *File) Name() string { return f.name }

// Text is what the file has. It must not be changed.
func (f *File) Text() []byte { return f.text }

// Guard runs do, which looks at the text. Where the file was cut meanwhile the
// error says so, in place of a crash: it wraps ErrCut.
func (f *File) Guard(do func() error) (err error) {
	if !f.mapped {
		return do()
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if !f.faulted(p) {
				panic(p)
			}
			err = f.cut()
		}
	}()
	if err := do(); err != nil {
		return err
	}
	if info, err := f.file.Stat(); err == nil && info.Size() < int64(len(f.text)) {
		return f.cut() // the end of its last page was read as zeros
	}
	return nil
}

func (f *File) cut() error { return fmt.Errorf("%s: %w", f.name, ErrCut) }

// faulted says whether a panic is that of a page of the text that is not there.
func (f *File) faulted(p any) bool {
	fault, ok := p.(interface{ Addr() uintptr })
	if !ok {
		return false
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(f.text)))
	return fault.Addr() >= begin && fault.Addr() < begin+uintptr(len(f.text))
}

// Close lets the text go.
func (f *File) Close() error {
	var err error
	if f.mapped {
		err = unmapped(f.text)
	}
	f.text, f.mapped = nil, false
	return errors.Join(err, f.file.Close())
}
