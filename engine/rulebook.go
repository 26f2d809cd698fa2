package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// LoadRules reads and compiles the interactions of a file or a folder: in a
// folder every *.json but tests.json, and interaction.json in each folder below. A folder that
// has an interaction.json of its own holds just that. The error has every
// problem of every file; two files with one id are one.
func LoadRules(path string) (map[string]*rules.Program, error) {
	book, err := loadFiles(path)
	return book.programs, err
}

// rulebook is interactions and the file of each, by id.
type rulebook struct {
	programs map[string]*rules.Program
	where    map[string]string
}

func loadFiles(path string) (rulebook, error) {
	files, err := RuleFiles(path)
	if err != nil {
		return rulebook{}, err
	}
	return loadBook(files, os.ReadFile)
}

// loadBook compiles files. The error has every problem of every file.
func loadBook(files []string, read func(file string) ([]byte, error)) (rulebook, error) {
	book := rulebook{map[string]*rules.Program{}, map[string]string{}}
	var errs []error
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := rules.Load(file, text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if first := book.where[p.ID()]; first != "" {
			errs = append(errs, fmt.Errorf("%s: id %q is that of %s too; want an id of its own", file, p.ID(), first))
			continue
		}
		book.where[p.ID()] = file
		book.programs[p.ID()] = p
	}
	if err := strictjson.Join(errs...); err != nil {
		return rulebook{}, err
	}
	return book, nil
}

// interactionFile is what an interaction in a folder of its own is called.
const interactionFile = "interaction.json"

// testsFile is what the tests of a folder are called; it is no interaction.
const testsFile = "tests.json"

// ReadDocuments reads the files of RuleFiles, byte for byte, under the names that
// they have in a set of rules.
func ReadDocuments(path string) ([]RuleDocument, error) {
	files, err := RuleFiles(path)
	if err != nil {
		return nil, err
	}
	var docs []RuleDocument
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(path, file)
		if dir := filepath.Dir(name); err == nil && dir == "." { // it is path itself, or lies in it
			name, err = nameAlone(file)
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, RuleDocument{filepath.ToSlash(name), string(text)})
	}
	return docs, nil
}

// nameAlone is the name of a file, with its folder's where that says more.
func nameAlone(file string) (string, error) {
	whole, err := filepath.Abs(file)
	if filepath.Base(whole) == interactionFile {
		return filepath.Join(filepath.Base(filepath.Dir(whole)), interactionFile), err
	}
	return filepath.Base(whole), err
}

// RuleFiles are the files that LoadRules reads, in order.
func RuleFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	if own := filepath.Join(path, interactionFile); isFile(own) {
		return []string{own}, nil
	}
	var files []string
	err = filepath.WalkDir(throughLink(path), func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != throughLink(path) && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || strings.HasPrefix(d.Name(), "."):
			return nil
		case d.Name() == interactionFile, filepath.Dir(file) == filepath.Clean(path) && filepath.Ext(file) == ".json" && d.Name() != testsFile:
			files = append(files, file)
		}
		return nil
	})
	return files, err
}

// throughLink names a folder so that it is walked where the name is that of a
// link to it.
func throughLink(dir string) string { return dir + string(filepath.Separator) }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// loadRules reads RulesPath for the first time.
func (e *Engine) loadRules() error {
	book, err := e.readFiles()
	if err != nil || book.programs == nil {
		return err
	}
	e.setFiles(book)
	e.logWarnings(book.programs, nil)
	return nil
}

// readFiles reads RulesPath, and takes note of how that went; nothing when there
// is none.
func (e *Engine) readFiles() (rulebook, error) {
	if e.config.RulesPath == "" {
		return rulebook{}, nil
	}
	book, err := loadFiles(e.config.RulesPath)
	e.refuse(FileRules, e.config.RulesPath, err)
	return book, err
}

func (e *Engine) setFiles(book rulebook) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files, e.filedAt = book.programs, book.where
}

// logWarnings logs the warnings of what is not as before.
func (e *Engine) logWarnings(programs, before map[string]*rules.Program) {
	for _, id := range slices.Sorted(maps.Keys(programs)) {
		p := programs[id]
		if was := before[id]; was != nil && was.Hash() == p.Hash() {
			continue
		}
		for _, w := range p.Warnings() {
			e.log.Warn().Str("interaction", id).Str("revision", p.Hash()).Msg(w.Error())
		}
	}
}

// wanted are the interactions that should run: those of files, of the set that
// was pushed, and of twins. Of those with one id that of a file wins, because
// whoever runs the engine has put it there, then that of the set.
func (e *Engine) wanted() map[string]*rules.Program {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make(map[string]*rules.Program, len(e.files)+len(e.pushed.programs)+len(e.owned))
	for id, o := range e.owned {
		out[id] = o.program
	}
	maps.Copy(out, e.pushed.programs)
	maps.Copy(out, e.files)
	return out
}

// Reload reads RulesPath again. An error in any file leaves everything as it
// is; otherwise what changed takes effect between two samples. Where another
// worker is at the desk, its files count, and ours when it is our turn.
func (e *Engine) Reload(ctx context.Context) (err error) {
	if e.config.RulesPath == "" {
		return nil
	}
	defer func() {
		if ctx.Err() == nil {
			e.stats.reloaded(err)
		}
	}()
	book, err := e.readFiles()
	if err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	before := e.wanted()
	e.setFiles(book)
	e.logWarnings(book.programs, before)
	if elsewhere := e.Elsewhere(); elsewhere != "" {
		e.log.Info().Str("desk", elsewhere).Msg("rules read; those of the worker at the desk count")
		return nil
	}
	return e.publishRules(ctx, before)
}

// publishRules tells every partition how the wanted interactions differ from
// before: all at one place in its stream.
func (e *Engine) publishRules(ctx context.Context, before map[string]*rules.Program) error {
	after := e.wanted()
	var change ruleChange
	for _, id := range slices.Sorted(maps.Keys(after)) {
		p := after[id]
		if was := before[id]; was != nil && was.Hash() == p.Hash() {
			continue
		}
		if err := e.insist(ctx, func(ctx context.Context) error { return e.keepRevision(ctx, p) }); err != nil {
			return err
		}
		change.put = append(change.put, p)
		e.log.Info().Str("interaction", id).Str("revision", p.Hash()).Bool("enabled", p.Enabled()).Int("rules", len(p.Rules())).Msg("interaction runs")
		if text := circle(id, after); text != "" {
			e.log.Warn().Str("interaction", id).Msg(text)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] != nil {
			continue
		}
		if err := e.insist(ctx, func(ctx context.Context) error { return e.bus.DeleteRule(ctx, id) }); err != nil {
			return err
		}
		change.gone = append(change.gone, id)
		e.log.Info().Str("interaction", id).Msg("interaction removed")
	}
	changes := change.controls(e.bus.MaxMessage())
	for p := range e.bus.Partitions() {
		for _, c := range changes {
			if err := e.send(ctx, placed{p, c}); err != nil {
				return err
			}
		}
	}
	if len(changes) > 0 {
		e.lookAtAll()
	}
	return nil
}

// insist tries until f succeeds or ctx ends.
func (e *Engine) insist(ctx context.Context, f func(context.Context) error) error {
	return retry(ctx, f, e.trouble)
}

// send puts a control message into the stream. Before the partitions have been
// told what is wanted it does nothing: what differs then is found with the rest.
func (e *Engine) send(ctx context.Context, p placed) error {
	if !e.told() {
		return nil
	}
	return e.insist(ctx, func(ctx context.Context) error { return e.putControl(ctx, p) })
}

// errUnsure says that this worker has not shown for a while that it is alive:
// another one may be at the desk by now, and the stream be told other things.
var errUnsure = errors.New("this worker may have lost the desk; waiting for the pool")

func (e *Engine) putControl(ctx context.Context, p placed) error {
	if !e.pool.Sure() {
		return errUnsure
	}
	_, err := e.bus.PutControl(ctx, p.partition, p.control.encode())
	return err
}

// sendOthers sends to all partitions but the one in which a twin lies.
func (e *Engine) sendOthers(ctx context.Context, twin string, c control) error {
	home := e.bus.Partition(twin)
	for i := range e.bus.Partitions() {
		if i == home {
			continue
		}
		if err := e.send(ctx, placed{i, c}); err != nil {
			return err
		}
	}
	return nil
}

// readRuleTwin takes note of the interaction that a twin carries. A bad one is
// refused, and the last good one goes on.
func (e *Engine) readRuleTwin(t *twins.Twin) (changed bool) {
	config, ok := twins.Interaction(t)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !ok {
		_, had := e.owned[t.ID]
		delete(e.owned, t.ID)
		delete(e.failed, t.ID)
		return had
	}
	in, err := rules.DecodeConfig(t.ID, t.Label(), t.Feeds, "interactionConfig of "+t.ID, []byte(config))
	var p *rules.Program
	if err == nil {
		p, err = rules.Compile(in)
	}
	if err != nil {
		e.failed[t.ID] = Refusal{RuleSource{Kind: TwinRules, Name: t.ID}, err.Error(), time.Now()}
		e.log.Error().Str("interaction", t.ID).Err(err).Msg("interaction refused; the last good one keeps running")
		return false
	}
	delete(e.failed, t.ID)
	was, had := e.owned[t.ID]
	e.owned[t.ID] = ruleTwin{p, t}
	changed = !had || was.program.Hash() != p.Hash()
	if changed {
		e.logWarnings(map[string]*rules.Program{t.ID: p}, nil)
	}
	return changed
}

// RulesOfTwin says what came of the newest document of an interaction twin: why
// it was refused, or what its author should know of it.
func (e *Engine) RulesOfTwin(id string) (refused string, warnings []error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if r, ok := e.failed[id]; ok {
		return r.Error, nil
	}
	if o, ok := e.owned[id]; ok {
		return "", o.program.Warnings()
	}
	return "", nil
}

// debounce is how long the watcher waits for an editor to be done, and
// debounceMost how long for one that never is.
const (
	debounce     = 200 * time.Millisecond
	debounceMost = 2 * time.Second
)

// watchRules reads the rules again whenever a file of theirs changes.
func (e *Engine) watchRules(ctx context.Context) error {
	path, err := filepath.Abs(e.config.RulesPath)
	if err != nil {
		return fmt.Errorf("watching %s: %w", e.config.RulesPath, err)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", e.config.RulesPath, err)
	}
	defer w.Close() //nolint:errcheck // there is nothing to save
	if err := watchFolders(w, path); err != nil {
		return fmt.Errorf("watching %s: %w", e.config.RulesPath, err)
	}
	var due <-chan time.Time
	var latest time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-w.Events:
			if !concernsRules(path, event) {
				continue
			}
			if due == nil {
				latest = time.Now().Add(debounceMost)
			}
			due = time.After(min(debounce, time.Until(latest)))
		case err := <-w.Errors:
			e.trouble(fmt.Errorf("watching %s: %w", e.config.RulesPath, err))
		case <-due:
			due = nil
			if err := watchFolders(w, path); err != nil {
				e.trouble(fmt.Errorf("watching %s: %w", e.config.RulesPath, err))
			}
			e.reloadAndSay(ctx)
		}
	}
}

// concernsRules says whether an event may have changed the rules at a path. What
// is written into a file that holds none, such as a log beside them, has not.
func concernsRules(path string, event fsnotify.Event) bool {
	switch {
	case event.Op == fsnotify.Chmod:
		return false
	case strings.HasPrefix(filepath.Base(event.Name), ".."): // Kubernetes replaces the files of a volume behind such a link
		return true
	case event.Op == fsnotify.Write && event.Name != path && filepath.Ext(event.Name) != ".json":
		return false
	}
	return lies(event.Name, path) || lies(path, event.Name)
}

// lies says whether a path is a folder, or below it.
func lies(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, throughLink(dir))
}

// reloadAndSay reports how a reload went; it never ends the engine.
func (e *Engine) reloadAndSay(ctx context.Context) {
	if err := e.Reload(ctx); err != nil && ctx.Err() == nil {
		e.log.Error().Err(err).Msg("rules refused; the last good ones keep running")
	}
}

// watchFolders watches the folders of the rules rather than the files, because
// editors replace files, and the folder above, which says when the rules come, go,
// or are others under the same name; the nearest one that is there.
func watchFolders(w *fsnotify.Watcher, path string) error {
	above := filepath.Dir(path)
	err := w.Add(above)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(above) != above {
		above = filepath.Dir(above)
		err = w.Add(above)
	}
	info, statErr := os.Stat(path)
	if statErr != nil || !info.IsDir() {
		return err
	}
	// A folder can be watched in one that cannot be read.
	return filepath.WalkDir(throughLink(path), func(dir string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = w.Add(filepath.Clean(dir))
		}
		if errors.Is(err, fs.ErrNotExist) { // it has just gone
			return nil
		}
		return err
	})
}

// placed is a control message and its partition.
type placed struct {
	partition int
	control   control
}
