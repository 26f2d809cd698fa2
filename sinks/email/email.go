// Package email is the sink that sends mails: plain text and HTML, one for each
// outcome, and one for all alerts of a group.
package email

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/letter"
)

const (
	maxIdle       = 4                // connections that are kept for the next mail
	idleFor       = 20 * time.Second // how long: servers end them after a while
	maxRecipients = 100              // of one mail
	maxProgress   = 1000             // mails of which it is known who has them
)

type sink struct {
	Config
	host     string
	port     int
	password string
	tls      *tls.Config
	from     *mail.Address
	to, cc   []*letter.Template
	subject  *letter.Template
	text     *letter.Template
	html     *letter.Template // nil: mails have none

	mu       sync.Mutex
	idle     []*line
	progress map[string]*progress // by event id
	order    []string             // of progress, the oldest first
}

// progress is who has a mail, and whom the server refused for good.
type progress struct {
	mu      sync.Mutex // held while the mail is sent
	asked   bool       // what is recorded of attempts before
	has     map[string]bool
	refused map[string]error
}

// Deliver sends the mail about an outcome. Each recipient is a matter of its own:
// who has got the mail does not get it again, as long as this process remembers or
// the attempts are recorded;
// for whom the server puts off, it is tried again; whom it refuses for good is
// named by a Permanent error, when the others have it.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	m, err := s.compose(&o, time.Now())
	if err != nil {
		return sinks.Permanent(fmt.Errorf("email: %w", err))
	}
	id := o.EventID()
	note := sinks.NoteOf(ctx)
	p := s.begun(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recall(ctx, note)
	note.Request = "mail by " + s.Server
	err = s.send(ctx, m, p, note)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err == nil || len(p.has)+len(p.refused) == 0 {
		s.forget(id)
	}
	if err != nil {
		return fmt.Errorf("email by %s: %w", s.Server, err)
	}
	return nil
}

// Close ends the connections that are kept.
func (s *sink) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, l := range idle {
		l.quit()
	}
	return nil
}

// recall learns, before the first mail of this process, who has had it from another.
func (p *progress) recall(ctx context.Context, note *sinks.Note) {
	if p.asked || note.Had == nil {
		return
	}
	p.asked = true
	for _, r := range note.Had(ctx) {
		p.has[r] = true
	}
}

// begun is what is known of the mail about an event.
func (s *sink) begun(id string) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.progress[id]; p != nil {
		return p
	}
	p := &progress{has: map[string]bool{}}
	s.progress[id], s.order = p, append(s.order, id)
	if len(s.order) > maxProgress {
		delete(s.progress, s.order[0])
		s.order = s.order[1:]
	}
	return p
}

func (s *sink) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.progress, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
}

// composed is a mail and who is to have it.
type composed struct {
	recipients []string
	text       []byte
}

func (s *sink) compose(o *rules.Outcome, now time.Time) (composed, error) {
	to, err := recipients(s.to, o, now)
	if err != nil {
		return composed{}, err
	}
	cc, err := recipients(s.cc, o, now)
	if err != nil {
		return composed{}, err
	}
	var c composed
	for _, a := range slices.Concat(to, cc) {
		if !slices.Contains(c.recipients, a.Address) {
			c.recipients = append(c.recipients, a.Address)
		}
	}
	if len(c.recipients) == 0 || len(c.recipients) > maxRecipients {
		return composed{}, fmt.Errorf("%d recipients; want 1 to %d", len(c.recipients), maxRecipients)
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.ToMailAddress(to...)
	m.CcMailAddress(cc...)
	m.SetDateWithValue(now)
	s.thread(m, o)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	if err := s.write(m, o, now); err != nil {
		return composed{}, err
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return composed{}, err
	}
	c.text = b.Bytes()
	return c, nil
}

func recipients(templates []*letter.Template, o *rules.Outcome, now time.Time) ([]*mail.Address, error) {
	var out []*mail.Address
	for _, t := range templates {
		text, err := t.Write(o, now)
		if err != nil {
			return nil, err
		}
		list, err := parseAddresses(text)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// write writes subject and bodies.
func (s *sink) write(m *gomail.Msg, o *rules.Outcome, now time.Time) error {
	subject, err := s.subject.Write(o, now)
	if err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	m.Subject(oneLine(subject))
	text, err := s.text.Write(o, now)
	if err != nil {
		return fmt.Errorf("text: %w", err)
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	if s.html == nil {
		return nil
	}
	html, err := s.html.Write(o, now)
	if err != nil {
		return fmt.Errorf("html: %w", err)
	}
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	return nil
}

// oneLine is a text that can stand in a header.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimSpace(text)
}

// thread gives a mail its id, and makes it an answer to the first one about the
// same alert, or the same group, so that mail programs show them together.
func (s *sink) thread(m *gomail.Msg, o *rules.Outcome) {
	_, domain, _ := strings.Cut(s.from.Address, "@")
	id, first := o.EventID(), ""
	switch {
	case alerts.IsGroup(o) && isPlain(o.ID):
		if at := strings.LastIndexByte(o.ID, '_'); at > 0 {
			id, first = o.ID, o.ID[:at]+"_1"
		}
	case o.Kind == rules.Alert && isPlain(o.ID):
		first = o.ID
		if o.Life != nil && o.Life.Number == 1 {
			id = o.ID
		}
	}
	m.SetMessageIDWithValue(id + "@" + domain)
	if first != "" && first != id {
		m.SetGenHeader(gomail.HeaderInReplyTo, "<"+first+"@"+domain+">")
		m.SetGenHeader(gomail.HeaderReferences, "<"+first+"@"+domain+">")
	}
}

// isPlain says whether the text can be part of a message id as it is.
func isPlain(id string) bool {
	return id != "" && len(id) < 100 && !strings.ContainsFunc(id, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// send hands the mail over for whoever does not have it.
func (s *sink) send(ctx context.Context, m composed, p *progress, note *sinks.Note) error {
	open := slices.DeleteFunc(slices.Clone(m.recipients), func(r string) bool { return p.has[r] || p.refused[r] != nil })
	if len(open) > 0 {
		l, err := s.connect(ctx)
		if err != nil {
			return err
		}
		put, err := l.transact(ctx, s.from.Address, open, m.text, p)
		for _, r := range open {
			if p.has[r] {
				note.Has, note.Answer = append(note.Has, r), "250"
			}
		}
		if err != nil {
			l.end()
			return verdict(err)
		}
		s.keep(l)
		if put != nil {
			return put
		}
	}
	if len(p.refused) == 0 {
		return nil
	}
	var errs []error
	for _, r := range m.recipients {
		if err := p.refused[r]; err != nil {
			errs = append(errs, fmt.Errorf("<%s>: %w", r, err))
		}
	}
	p.refused = nil // whoever retries the dead letter means it
	return sinks.Permanent(errors.Join(errs...))
}

// verdict makes what the server says for good Permanent.
func verdict(err error) error {
	if isFinal(err) {
		return sinks.Permanent(err)
	}
	return err
}

// isFinal says whether the server has refused with a 5xx.
func isFinal(err error) bool {
	e, ok := errors.AsType[*textproto.Error](err)
	return ok && e.Code/100 == 5
}

// line is a connection to the server.
type line struct {
	client *smtp.Client
	conn   net.Conn
	used   time.Time
}

// transact sends one mail. An error is one of the whole; later is one of
// recipients whom the server puts off.
func (l *line) transact(ctx context.Context, from string, to []string, text []byte, p *progress) (later, err error) {
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	if err := l.client.Mail("<" + from + ">"); err != nil {
		return nil, err
	}
	var taken []string
	var putOff []error
	refused := map[string]error{}
	for _, r := range to {
		switch err := l.client.Rcpt("<" + r + ">"); {
		case err == nil:
			taken = append(taken, r)
		case isFinal(err):
			refused[r] = err
		case isSaid(err):
			putOff = append(putOff, fmt.Errorf("<%s>: %w", r, err))
		default:
			return nil, err
		}
	}
	if len(taken) > 0 {
		if err := l.data(text); err != nil {
			return nil, err
		}
	} else if err := l.client.Reset(); err != nil {
		return nil, err
	}
	for _, r := range taken {
		p.has[r] = true
	}
	if p.refused == nil {
		p.refused = refused
	} else {
		maps.Copy(p.refused, refused)
	}
	return errors.Join(putOff...), nil
}

// isSaid says whether the server has answered.
func isSaid(err error) bool {
	_, ok := errors.AsType[*textproto.Error](err)
	return ok
}

func (l *line) data(text []byte) error {
	w, err := l.client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}

// connect is a connection that is kept and still works, or a new one.
func (s *sink) connect(ctx context.Context) (*line, error) {
	for {
		l := s.kept()
		if l == nil {
			return s.dial(ctx)
		}
		if time.Since(l.used) < idleFor && l.client.UpdateDeadline(s.Timeout) == nil && l.client.Reset() == nil {
			return l, nil
		}
		l.end()
	}
}

func (s *sink) kept() *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	l := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return l
}

func (s *sink) keep(l *line) {
	l.used = time.Now()
	s.mu.Lock()
	room := len(s.idle) < maxIdle
	if room {
		s.idle = append(s.idle, l)
	}
	s.mu.Unlock()
	if !room {
		l.quit()
	}
}

// dial opens a connection, makes it secret and says who we are. No error of it is
// for good: a server or a password can be mended.
func (s *sink) dial(ctx context.Context) (*line, error) {
	var conn net.Conn
	outer, stop := ctx, func() bool { return true }
	open := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		bare, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn = &terse{Conn: bare}
		if s.Security == implicitTLS {
			secret := tls.Client(conn, s.tls)
			if err := secret.HandshakeContext(ctx); err != nil {
				return nil, err
			}
			conn = secret
		}
		opened := conn
		stop = context.AfterFunc(outer, func() { _ = opened.Close() }) // what hangs ends so
		return conn, nil
	}
	policy := map[string]gomail.TLSPolicy{startTLS: gomail.TLSMandatory, implicitTLS: gomail.TLSOpportunistic, noTLS: gomail.NoTLS}[s.Security]
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tls), gomail.WithTimeout(s.Timeout), gomail.WithDialContextFunc(open), gomail.WithHELO("localhost"),
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err == nil && s.Username != "" {
		err = s.authenticate(session)
	}
	stop()
	if err != nil {
		if conn != nil {
			_ = conn.Close() // what went wrong is said
		}
		return nil, unmarked(err)
	}
	return &line{client: session, conn: conn}, nil
}

// unmarked is the error without its code, by which it would be for good.
func unmarked(err error) error {
	if isFinal(err) {
		return errors.New(err.Error())
	}
	return err
}

// end closes the connection as it is, also under who uses it.
func (l *line) end() { _ = l.conn.Close() }

// quit takes leave.
func (l *line) quit() {
	_ = l.client.UpdateDeadline(2 * time.Second)
	_ = l.client.Quit()
	l.end()
}
