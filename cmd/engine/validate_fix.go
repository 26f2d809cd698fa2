package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tocsin.internal/rules/lint"
)

// mostPasses bounds how often a file is mended: what one mend brings to light,
// the next pass mends.
const mostPasses = 10

// mend writes what can safely be mended into the files, and says what it did.
func (v *validation) mend(log io.Writer) {
	for _, f := range v.files {
		if f.doc != nil {
			v.mendFile(f, log)
		}
	}
}

func (v *validation) mendFile(f *checkedFile, log io.Writer) {
	before := f.doc.Text
	var done []lint.Diagnostic
	for range mostPasses {
		text, now := lint.Mend(f.name, f.doc.Text, v.diagnose(f))
		if len(now) == 0 {
			break
		}
		done = append(done, now...)
		f.doc = lint.Read(f.name, text)
		f.kind = kindOfDocument(f.doc.Raw)
	}
	if bytes.Equal(before, f.doc.Text) {
		return
	}
	if err := replaceFile(f.name, f.doc.Text); err != nil {
		f.doc = lint.Read(f.name, before)
		v.unreadable(f.name, err)
		return
	}
	for _, d := range done {
		fmt.Fprintf(log, "fixed  %s:%d:%d  %s: %s\n", d.File, d.Line, d.Col, d.Code, d.Message)
	}
}

// diagnose is what there is to say about a single file.
func (v *validation) diagnose(f *checkedFile) []lint.Diagnostic {
	one := *v
	one.files = []*checkedFile{{name: f.name, doc: f.doc, kind: f.kind}}
	one.check()
	return one.files[0].diagnostics
}

// replaceFile writes a file as a whole or not at all: beside it first, then in
// its place. A link stays one.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if w, err := os.OpenFile(name, os.O_WRONLY, 0); err != nil {
		return err // it is to stay as it is, though its folder would let it be replaced
	} else if err := w.Close(); err != nil {
		return err
	}
	beside, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(beside.Name()) //nolint:errcheck // it is gone when all went well
	_, err = beside.Write(text)
	if err == nil {
		err = beside.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = beside.Sync()
	}
	if closeErr := beside.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(beside.Name(), name)
}
