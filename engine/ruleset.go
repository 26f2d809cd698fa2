package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// RuleDocument is a file of rules, byte for byte. Its name is a path with
// slashes; an interaction without an id is called after it.
type RuleDocument struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Ruleset is a revision of the set of rules that was pushed to the server.
type Ruleset struct {
	Revision  uint64         `json:"revision"` // 1, 2, 3 …; 0: nothing was ever pushed
	At        time.Time      `json:"at,omitzero"`
	By        string         `json:"by,omitempty"`
	Message   string         `json:"message,omitempty"`
	Of        uint64         `json:"rollbackTo,omitempty"` // it has the documents of that revision again
	Count     int            `json:"count"`                // of documents
	Documents []RuleDocument `json:"documents,omitempty"`  // in the order of their names
}

// rulesetNote is what the bucket keeps of a revision beside its documents.
type rulesetNote struct {
	By      string `json:"by"`
	Message string `json:"message,omitempty"`
	Of      uint64 `json:"of,omitempty"`
	Count   int    `json:"count"`
}

func rulesetOf(r *bus.Ruleset) (Ruleset, error) {
	s := Ruleset{Revision: r.Number, At: r.At}
	if r.Number == 0 {
		return s, nil
	}
	var note rulesetNote
	if err := json.Unmarshal(r.Note, &note); err != nil {
		return s, fmt.Errorf("the set of rules, revision %d: %w", r.Number, err)
	}
	s.By, s.Message, s.Of, s.Count = note.By, note.Message, note.Of, note.Count
	return s, nil
}

// Push is a set of rules that is to take the place of the one before, or, with
// Rollback, the number of an earlier revision that is to do so again.
type Push struct {
	Documents []RuleDocument
	Rollback  uint64
	By        string
	Message   string
	Expect    *uint64 // the revision that it is made for; nil: whichever is there
	DryRun    bool    // only say what would change
}

// Pushed says what a push has changed, or would change. Names are those of files.
type Pushed struct {
	Ruleset
	DryRun   bool     `json:"dryRun,omitempty"`
	Added    []string `json:"added"`
	Changed  []string `json:"changed"`
	Removed  []string `json:"removed"`
	Same     int      `json:"same"`
	Hidden   []Hidden `json:"hidden,omitempty"`
	Warnings []string `json:"warnings,omitempty"` // each with its place
	Was      uint64   `json:"was"`                // the revision before
}

// Hidden is an interaction of the set that does not run, because there is
// another one with its id.
type Hidden struct {
	ID   string     `json:"id"`
	Name string     `json:"name"`
	By   RuleSource `json:"by"`
}

var (
	// ErrNoRuleset is what the error wraps when there is no such revision of the set.
	ErrNoRuleset = errors.New("no such revision of the rules")
	// ErrRules is what the error wraps when pushed rules are refused. The rest of
	// it has a line for each problem, with its place.
	ErrRules = errors.New("the rules are refused, nothing has changed")
	// ErrExpected is what the error wraps when the set is not at the revision that
	// a push was made for.
	ErrExpected = errors.New("the rules on the server have changed")
)

// What a set may have.
const (
	maxDocuments  = 10_000
	maxSetBytes   = 12 << 20
	maxNameLength = 255
)

// pushed is the set that runs.
type pushed struct {
	number   uint64 // of its revision; 0: there is none
	programs map[string]*rules.Program
	where    map[string]string // the name of the document of each
}

// loadRuleset reads a revision with its documents.
func (e *Engine) loadRuleset(ctx context.Context, r *bus.Ruleset) (Ruleset, error) {
	s, err := rulesetOf(r)
	if err != nil || r.Number == 0 {
		return s, err
	}
	text, err := e.bus.LoadRuleset(ctx, r)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s.Documents); err != nil {
		return s, fmt.Errorf("the set of rules, revision %d: %w", r.Number, err)
	}
	return s, nil
}

// Ruleset gives a revision of the set with its documents; 0: the newest. The
// error may wrap ErrNoRuleset.
func (e *Engine) Ruleset(ctx context.Context, revision uint64) (Ruleset, error) {
	if revision == 0 {
		last, err := e.bus.LastRuleset(ctx)
		if err != nil {
			return Ruleset{}, err
		}
		return e.loadRuleset(ctx, &last)
	}
	all, err := e.bus.Rulesets(ctx)
	if err != nil {
		return Ruleset{}, err
	}
	for i := range all {
		if all[i].Number == revision {
			return e.loadRuleset(ctx, &all[i])
		}
	}
	return Ruleset{}, noRevision(revision, all)
}

func noRevision(revision uint64, all []bus.Ruleset) error {
	if len(all) == 0 {
		return fmt.Errorf("%w: %d; nothing has been pushed yet", ErrNoRuleset, revision)
	}
	return fmt.Errorf("%w: %d; there are %d to %d", ErrNoRuleset, revision, all[len(all)-1].Number, all[0].Number)
}

// Rulesets are the revisions of the set that are kept, the newest first, without
// their documents.
func (e *Engine) Rulesets(ctx context.Context) ([]Ruleset, error) {
	all, err := e.bus.Rulesets(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Ruleset, len(all))
	for i := range all {
		if out[i], err = rulesetOf(&all[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PushRules makes a set the one that runs, as a whole or not at all, and returns
// when the stream has been told of it: samples that are stored later are judged by it.
// The error may wrap ErrRules, ErrExpected, ErrNoRuleset, ErrAction, or
// ErrUnanswered: then the set is stored, and will run.
func (e *Engine) PushRules(ctx context.Context, p Push) (Pushed, error) {
	if err := checkPush(&p); err != nil {
		return Pushed{}, fmt.Errorf("%w: %w", ErrAction, err)
	}
	last, err := e.bus.LastRuleset(ctx)
	if err != nil {
		return Pushed{}, err
	}
	if p.Expect != nil && *p.Expect != last.Number {
		return Pushed{}, overtakenBy(&last)
	}
	if p.Rollback > 0 {
		old, err := e.Ruleset(ctx, p.Rollback)
		if err != nil {
			return Pushed{}, err
		}
		p.Documents = old.Documents
	}
	book, err := e.readDocuments(p.Documents)
	if err != nil {
		return Pushed{}, fmt.Errorf("%w:\n%w", ErrRules, err)
	}
	was, err := e.loadRuleset(ctx, &last)
	if err != nil {
		return Pushed{}, err
	}
	out := Pushed{Ruleset: was, Was: was.Revision, DryRun: p.DryRun, Hidden: e.hidden(book), Warnings: warningsOf(book)}
	out.compare(was.Documents, p.Documents)
	out.Documents, out.Count = nil, len(p.Documents)
	if p.DryRun || len(out.Added)+len(out.Changed)+len(out.Removed) == 0 {
		return out, nil
	}
	saved, err := e.saveRuleset(ctx, &p, last.Number)
	if err != nil {
		return Pushed{}, err
	}
	if out.Ruleset, err = rulesetOf(&saved); err != nil {
		return out, err
	}
	e.log.Info().Uint64("revision", out.Revision).Str("by", out.By).Str("message", out.Message).Int("added", len(out.Added)).Int("changed", len(out.Changed)).
		Int("removed", len(out.Removed)).Msg("rules pushed")
	return out, e.awaitPushed(ctx, saved.Number)
}

func checkPush(p *Push) error {
	if len(p.Message) > maxComment {
		return fmt.Errorf("message has %d bytes; want at most %d", len(p.Message), maxComment)
	}
	if err := checkBy(p.By); err != nil {
		return err
	}
	slices.SortFunc(p.Documents, func(a, b RuleDocument) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func overtakenBy(r *bus.Ruleset) error {
	s, err := rulesetOf(r)
	if err != nil {
		return err
	}
	if s.Revision == 0 {
		return fmt.Errorf("%w: nothing has been pushed yet, so it is at revision 0", ErrExpected)
	}
	message := ""
	if s.Message != "" {
		message = fmt.Sprintf(" (%q)", s.Message)
	}
	return fmt.Errorf("%w: revision %d is by %s at %s%s; look at it with `engine rules diff`, and push again", ErrExpected, s.Revision, s.By, s.At.UTC().Format(time.RFC3339), message)
}

func (e *Engine) saveRuleset(ctx context.Context, p *Push, after uint64) (bus.Ruleset, error) {
	note, err := json.Marshal(rulesetNote{By: p.By, Message: p.Message, Of: p.Rollback, Count: len(p.Documents)})
	if err != nil {
		return bus.Ruleset{}, err
	}
	set, err := json.Marshal(p.Documents)
	if err != nil {
		return bus.Ruleset{}, err
	}
	saved, err := e.bus.SaveRuleset(ctx, after, note, set)
	if !errors.Is(err, bus.ErrOvertaken) {
		return saved, err
	}
	last, err := e.bus.LastRuleset(ctx)
	if err != nil {
		return saved, err
	}
	return saved, overtakenBy(&last)
}

// readDocuments compiles a set. The error has every problem with its place.
func (e *Engine) readDocuments(docs []RuleDocument) (rulebook, error) {
	var errs []error
	total := 0
	byName := map[string]string{}
	var names []string
	for _, d := range docs {
		total += len(d.Text)
		switch _, twice := byName[d.Name]; {
		case twice:
			errs = append(errs, fmt.Errorf("%s: is there twice", d.Name))
		case !isDocumentName(d.Name):
			errs = append(errs, fmt.Errorf("name %q: want NAME.json, or a relative path that ends with /interaction.json", d.Name))
		case !utf8.ValidString(d.Text):
			errs = append(errs, fmt.Errorf("%s: is not UTF-8", d.Name))
		default:
			names = append(names, d.Name)
		}
		byName[d.Name] = d.Text
	}
	if len(docs) > maxDocuments || total > maxSetBytes {
		return rulebook{}, fmt.Errorf("%d documents of %d bytes; want at most %d of %d bytes", len(docs), total, maxDocuments, maxSetBytes)
	}
	book, err := loadBook(names, func(name string) ([]byte, error) { return []byte(byName[name]), nil })
	if err := strictjson.Join(append(errs, err)...); err != nil {
		return rulebook{}, err
	}
	return book, e.checkSize(book)
}

// isDocumentName says whether a set may have a file of that name: one that
// RuleFiles finds in a folder.
func isDocumentName(name string) bool {
	if !fs.ValidPath(name) || len(name) > maxNameLength || strings.Contains(name, `\`) || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return false
	}
	dir, base := path.Split(name)
	if dir == "" {
		return path.Ext(base) == ".json" && base != interactionFile
	}
	return base == interactionFile
}

// checkSize sees to it that the whole set fits into one message of the stream.
func (e *Engine) checkSize(book rulebook) error {
	most := e.bus.MaxMessage()
	all := slices.Collect(maps.Values(book.programs))
	for _, p := range all {
		if n := len(putInteraction(p).encode()); n > most-messageMargin {
			return fmt.Errorf("%s: %d bytes; the bus takes messages of at most %d", book.where[p.ID()], n, most)
		}
	}
	if whole := (ruleChange{put: all}); len(all) > 1 && len(whole.controls(most)) > 1 {
		return fmt.Errorf("the set does not fit into one message of the bus, which takes at most %d bytes; want fewer or smaller rules, or a greater max_payload of the server", most)
	}
	return nil
}

// compare says how a set differs from the one before, document by document.
func (p *Pushed) compare(was, is []RuleDocument) {
	p.Added, p.Changed, p.Removed = []string{}, []string{}, []string{}
	before := map[string]string{}
	for _, d := range was {
		before[d.Name] = d.Text
	}
	for _, d := range is {
		switch text, there := before[d.Name]; {
		case !there:
			p.Added = append(p.Added, d.Name)
		case text != d.Text:
			p.Changed = append(p.Changed, d.Name)
		default:
			p.Same++
		}
		delete(before, d.Name)
	}
	p.Removed = slices.AppendSeq(p.Removed, maps.Keys(before))
	slices.Sort(p.Removed)
}

// hidden are the interactions of a set that files of the engine stand before.
func (e *Engine) hidden(book rulebook) (out []Hidden) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(book.programs)) {
		if e.files[id] != nil {
			out = append(out, Hidden{id, book.where[id], RuleSource{Kind: FileRules, Name: e.filedAt[id]}})
		}
	}
	return out
}

func warningsOf(book rulebook) (out []string) {
	for _, id := range slices.Sorted(maps.Keys(book.programs)) {
		for _, w := range book.programs[id].Warnings() {
			out = append(out, w.Error())
		}
	}
	return out
}

// readPushed reads the set that was pushed last. A set that cannot be used, of a
// newer engine perhaps, is refused; what runs of it goes on.
func (e *Engine) readPushed(ctx context.Context) error {
	last, err := e.bus.LastRuleset(ctx)
	if err != nil {
		return err
	}
	e.mu.RLock()
	same := last.Number == e.pushed.number
	e.mu.RUnlock()
	if same {
		return nil
	}
	set, err := e.loadRuleset(ctx, &last)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("revision %d", set.Revision)
	book, wrong := e.readDocuments(set.Documents)
	e.refuse(SetRules, name, wrong)
	if wrong != nil {
		e.log.Error().Uint64("revision", set.Revision).Err(wrong).Msg("pushed rules refused; the last good ones keep running")
		if book, err = e.lastGoodOf(ctx, set.Documents); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pushed = pushed{last.Number, book.programs, book.where}
	return nil
}

// lastGoodOf is what the stream has of the interactions of a set.
func (e *Engine) lastGoodOf(ctx context.Context, docs []RuleDocument) (rulebook, error) {
	book := rulebook{map[string]*rules.Program{}, map[string]string{}}
	c, err := e.count(ctx, 0)
	if err != nil {
		return book, err
	}
	for _, d := range docs {
		in, _ := rules.Decode(d.Name, []byte(d.Text))
		if p, err := rules.Load("interaction", c.interactions[in.ID]); err == nil {
			book.programs[in.ID], book.where[in.ID] = p, d.Name
		}
	}
	return book, nil
}

// followPushed runs, while this worker is at the desk, each set that is pushed,
// whichever worker has taken it.
func (e *Engine) followPushed(ctx context.Context) error {
	if e.awaitDesk(ctx) != nil {
		return nil
	}
	changed := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.bus.FollowRuleset(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	defer func() { <-done }()
	for {
		if retry(ctx, e.runPushed, e.trouble) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// runPushed runs the set that was pushed last.
func (e *Engine) runPushed(ctx context.Context) error {
	e.change.Lock()
	defer e.change.Unlock()
	before := e.wanted()
	if err := e.readPushed(ctx); err != nil {
		return err
	}
	e.logWarnings(e.wanted(), before)
	if err := e.publishRules(ctx, before); err != nil {
		return err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	e.runs.Store(e.pushed.number)
	return nil
}

// awaitPushed returns when the desk runs a revision of the set, or a later one.
func (e *Engine) awaitPushed(ctx context.Context, number uint64) error {
	err := e.awaitRuns(ctx, number)
	if errors.Is(err, ErrNotAtDesk) {
		_, err = e.ask(ctx, request{Op: "ruleset", Number: number})
	}
	if err != nil {
		return fmt.Errorf("%w: revision %d of the rules: %w", ErrUnanswered, number, err)
	}
	return nil
}

func (e *Engine) awaitRuns(ctx context.Context, number uint64) error {
	ctx, cancel := context.WithTimeout(ctx, actPatience)
	defer cancel()
	if err := e.awaitDesk(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for e.runs.Load() < number {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for it to run: %w", ctx.Err())
		}
	}
	return nil
}
