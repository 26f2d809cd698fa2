package file

import (
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stamp is the time in the name of a rotated file. Names sort by it.
const stamp = "20060102T150405.000000000Z"

const (
	zipped = ".gz"
	half   = ".gz.part" // of one that is being written
)

// rotate gives the file, which is locked, another name. The next one to open has none.
func (l *log) rotate(info os.FileInfo, now time.Time) error {
	base, ext := l.names()
	last := info.ModTime()
	if last.After(now) {
		last = now
	}
	to := base + last.UTC().Format(stamp) + ext
	for exists(to) || exists(to+zipped) {
		last = last.Add(1)
		to = base + last.UTC().Format(stamp) + ext
	}
	if err := os.Rename(l.Path, to); err != nil {
		return err
	}
	return errors.Join(l.close(), syncFolder(l.Path), l.tidy())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// names are how the path of a rotated file begins and ends.
func (l *log) names() (base, ext string) {
	ext = filepath.Ext(l.Path)
	return strings.TrimSuffix(l.Path, ext) + "-", ext
}

// rotated are the files that were rotated, the oldest first; parts is what a crash
// has left of compressing them.
func (l *log) rotated() (all, parts []string, err error) {
	base, ext := l.names()
	entries, err := os.ReadDir(filepath.Dir(l.Path))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(l.Path), e.Name())
		middle, isOurs := strings.CutPrefix(path, filepath.Clean(base))
		if !isOurs || len(middle) < len(stamp) || !e.Type().IsRegular() {
			continue
		}
		if _, err := time.Parse(stamp, middle[:len(stamp)]); err != nil {
			continue
		}
		switch rest := middle[len(stamp):]; {
		case strings.HasSuffix(rest, ext+half):
			parts = append(parts, path)
		case strings.HasSuffix(rest, ext), strings.HasSuffix(rest, ext+zipped):
			all = append(all, path)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Compare(strings.TrimSuffix(a, zipped), strings.TrimSuffix(b, zipped))
	})
	return all, parts, nil
}

// tidy removes what is too much and compresses the rest, while nobody else does so
// in the same folder.
func (l *log) tidy() error {
	folder, err := os.Open(filepath.Dir(l.Path))
	if err != nil {
		return err
	}
	defer folder.Close() //nolint:errcheck // nothing was written; it ends the lock
	if err := lock(folder); err != nil {
		return err
	}
	all, parts, err := l.rotated()
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range parts {
		errs = append(errs, os.Remove(path))
	}
	if l.Keep > 0 && len(all) > l.Keep {
		for _, path := range all[:len(all)-l.Keep] {
			errs = append(errs, os.Remove(path))
		}
		all = all[len(all)-l.Keep:]
	}
	for _, path := range all {
		if l.Gzip && !strings.HasSuffix(path, zipped) {
			errs = append(errs, compress(path))
		}
	}
	return errors.Join(errs...)
}

// compress puts a compressed file in the place of another. There is one of them, whole, at any time.
func compress(path string) error {
	in, err := os.Open(path) //nolint:gosec // it is the operator's path
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it is only read
	out, err := os.OpenFile(path+zipped+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	if err := os.Rename(out.Name(), path+zipped); err != nil {
		return err
	}
	return errors.Join(os.Remove(path), syncFolder(path))
}
