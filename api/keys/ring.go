package keys

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"tocsin.internal/api/access"
)

// Ring is a file of keys that is read again when it changes.
type Ring struct {
	path    string
	now     func() time.Time
	trouble func(error) // told when the file can no longer be read, once

	mu     sync.Mutex
	looked time.Time
	told   string // the trouble that was told last
	was    stamp
	keys   []Key
}

// stamp tells one content of a file from another.
type stamp struct {
	at   time.Time
	size int64
	file os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.at.Equal(o.at) && s.size == o.size && (s.file == nil) == (o.file == nil) && (s.file == nil || os.SameFile(s.file, o.file))
}

// lookEvery is how often a file is looked at.
const lookEvery = time.Second

// Open reads a file of keys. What cannot be read later leaves the keys as they
// were, and trouble is told; a file that is gone has none.
func Open(path string, now func() time.Time, trouble func(error)) (*Ring, error) {
	r := &Ring{path: path, now: now, trouble: trouble}
	return r, r.look()
}

// Caller is who shows this secret.
func (r *Ring) Caller(secret string) (*access.Caller, error) {
	now := r.now()
	k := find(r.current(now), secret)
	switch {
	case k == nil:
		return nil, access.Unknown("no such API key")
	case k.Expired(now):
		return nil, access.Unknown("API key %q expired at %s", k.Name, k.Expires)
	}
	return &k.caller, nil
}

// current are the keys as the file has them.
func (r *Ring) current(now time.Time) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.looked).Abs() >= lookEvery {
		r.tell(r.look())
	}
	return r.keys
}

// tell tells of trouble, when it is new.
func (r *Ring) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.told {
		r.trouble(err)
	}
	r.told = text
}

// look reads the file when it is another one than before.
func (r *Ring) look() error {
	r.looked = r.now()
	var is stamp
	switch info, err := os.Stat(r.path); {
	case err == nil:
		is = stamp{info.ModTime(), info.Size(), info}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if is.same(r.was) {
		return nil
	}
	keys, err := Read(r.path)
	if err == nil {
		r.was, r.keys = is, keys
	}
	return err
}

// Empty says that there are no keys.
func (r *Ring) Empty() bool { return len(r.current(r.now())) == 0 }

// Admin says whether one of the keys may do everything.
func (r *Ring) Admin() bool {
	now := r.now()
	return slices.ContainsFunc(r.current(now), func(k Key) bool { return k.caller.Actions == nil && k.caller.Twins == nil && !k.Expired(now) })
}
