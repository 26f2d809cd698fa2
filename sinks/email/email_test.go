package email

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

// server is an SMTP server that keeps what it takes.
type server struct {
	address string
	ca      string // the file of who signed its certificate
	auth    bool   // it wants user and password

	mu       sync.Mutex
	answers  map[string][]error // to RCPT, by address, one after the other; then nil
	data     []error            // to DATA, as well
	mails    []delivered
	sessions int
}

// delivered is a mail as the server took it.
type delivered struct {
	from string
	to   []string
	text string
}

type session struct {
	server *server
	conn   *smtp.Conn
	mail   delivered
	user   string
}

func (s *session) Reset()        { s.mail = delivered{} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string {
	if !s.server.auth {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "tocsin" || password != "s3cret" {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.auth && s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.mail = delivered{from: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if list := s.server.answers[to]; len(list) > 0 {
		s.server.answers[to] = list[1:]
		if list[0] != nil {
			return list[0]
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if len(s.server.data) > 0 {
		err := s.server.data[0]
		s.server.data = s.server.data[1:]
		if err != nil {
			return err
		}
	}
	s.mail.text = string(b)
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

func (s *server) got() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// serve starts a server: starttls, tls or none.
func serve(t *testing.T, security string, auth bool) *server {
	t.Helper()
	s := &server{auth: auth, answers: map[string][]error{}}
	certificate, ca := certify(t)
	s.ca = ca
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions++
		return &session{server: s, conn: c}, nil
	}))
	srv.Domain, srv.ErrorLog, srv.MaxRecipients = "localhost", quiet{}, 200
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = listener.Addr().String()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	switch security {
	case implicitTLS:
		listener = tls.NewListener(listener, config)
	case startTLS:
		srv.TLSConfig = config
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		_ = listener.Close() // the server does not know it before it serves
		require.NoError(t, <-done)
	})
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func certify(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

func make1(t *testing.T, config string) (sinks.Sink, error) {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(config))
	require.NoError(t, err)
	return New(raw)
}

func open(t *testing.T, s *server, more string) *sink {
	t.Helper()
	made, err := make1(t, fmt.Sprintf(`{"server":%q,"from":"Tocsin <tocsin@example.com>"%s}`, s.address, more))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, made.(*sink).Close()) })
	return made.(*sink)
}

const plain = `,"security":"none","to":["a@example.com","b@example.com"]`

var at = time.Date(2026, 11, 2, 8, 1, 0, 0, time.UTC)

func alert() rules.Outcome {
	o := sinktest.Alert()
	o.At, o.Starts = at, at
	o.Life = &rules.Life{Number: 1, Event: rules.EventRaised, Key: "k", Status: rules.StatusFiring, Active: true, Label: "critical"}
	return o
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinks.Sink {
		made, err := make1(t, fmt.Sprintf(`{"server":%q,"from":"tocsin@example.com"%s}`, serve(t, noTLS, false).address, plain))
		require.NoError(t, err)
		return made
	})
}

func TestSecurity(t *testing.T) {
	for _, security := range []string{startTLS, implicitTLS} {
		s := serve(t, security, true)
		more := fmt.Sprintf(`,"security":%q,"to":["a@example.com"],"tls":{"ca":%q},"username":"tocsin","password":"s3cret"`, security, s.ca)
		require.NoError(t, open(t, s, more).Deliver(t.Context(), alert()))
		assert.Len(t, s.got(), 1)

		err := open(t, s, strings.Replace(more, "s3cret", "wrong", 1)).Deliver(t.Context(), alert())
		require.ErrorContains(t, err, "535")
		assert.False(t, sinks.IsPermanent(err), "a password can be mended")
		assert.NotContains(t, err.Error(), "wrong")

		err = open(t, s, fmt.Sprintf(`,"security":%q,"to":["a@example.com"]`, security)).Deliver(t.Context(), alert())
		require.ErrorContains(t, err, "certificate", "nobody vouches for it")
		assert.False(t, sinks.IsPermanent(err))
	}
	bare := serve(t, noTLS, false)
	err := open(t, bare, `,"to":["a@example.com"]`).Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "STARTTLS")
	assert.Empty(t, bare.got(), "what was to be secret is not sent in the open")
}

// parts are the bodies of a mail by their media types.
func parts(t *testing.T, text string) (mail.Header, map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	require.NoError(t, err)
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	out := map[string]string{}
	if media != "multipart/alternative" {
		b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		require.NoError(t, err)
		return m.Header, map[string]string{media: string(b)}
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return m.Header, out
		}
		require.NoError(t, err)
		b, err := io.ReadAll(p)
		require.NoError(t, err)
		media, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		require.NoError(t, err)
		out[media] = strings.ReplaceAll(string(b), "\r\n", "\n")
	}
}

func TestMail(t *testing.T) {
	s := serve(t, noTLS, false)
	k := open(t, s, `,"security":"none","to":["Anna <a@example.com>"],"cc":["{{get .labels \"owner\"}}","b@example.com, a@example.com"]`)
	o := alert()
	o.Labels["owner"] = "c@example.com"
	require.NoError(t, k.Deliver(t.Context(), o))
	got := s.got()[0]
	assert.Equal(t, "tocsin@example.com", got.from)
	assert.Equal(t, []string{"a@example.com", "c@example.com", "b@example.com"}, got.to)
	header, body := parts(t, got.text)
	assert.Equal(t, `"Tocsin" <tocsin@example.com>`, header.Get("From"))
	assert.Equal(t, `"Anna" <a@example.com>`, header.Get("To"))
	assert.Equal(t, `[FIRING critical] machine_1 is at 31.2`, header.Get("Subject"))
	assert.Equal(t, "auto-generated", header.Get("Auto-Submitted"))
	assert.Equal(t, "<"+o.ID+"@example.com>", header.Get("Message-ID"))
	assert.Empty(t, header.Get("In-Reply-To"))
	assert.Equal(t, `machine_1 is at 31.2

FIRING critical: machine_1 is at 31.2
  twin: machine_1
  rule: overheating / too-hot
  since: 2026-11-02 08:01:00 UTC
  owner: c@example.com
  site: brno

-- 
Tocsin, 2026-11-02 08:01:00 UTC
`, body["text/plain"])
	assert.Contains(t, body["text/html"], `<tr><td>site</td><td>brno</td></tr>`)

	later := alert()
	later.State, later.Ends, later.At = rules.StateResolved, at.Add(time.Minute), at.Add(time.Minute)
	later.Life.Number, later.Life.Event = 2, rules.EventCleared
	require.NoError(t, k.Deliver(t.Context(), later))
	header, body = parts(t, s.got()[1].text)
	assert.Equal(t, "<"+later.EventID()+"@example.com>", header.Get("Message-ID"))
	assert.Equal(t, "<"+o.ID+"@example.com>", header.Get("In-Reply-To"))
	assert.Equal(t, "<"+o.ID+"@example.com>", header.Get("References"))
	assert.Equal(t, `[RESOLVED critical] machine_1 is at 31.2`, header.Get("Subject"))
	assert.Contains(t, body["text/plain"], "  until: 2026-11-02 08:02:00 UTC\n")
	assert.Equal(t, 1, s.sessions, "both went over one connection")
}

func TestGroup(t *testing.T) {
	s := serve(t, noTLS, false)
	one, two := alert(), alert()
	two.Twin, two.Summary, two.Severity = "machine_2", "<b>machine_2</b>", "major"
	data := []byte(`{"status":"firing","groupLabels":{"rule":"too-hot"},"firing":5,"resolved":0,"suppressed":0,"truncated":3,"alerts":[`)
	data = append(two.AppendJSON(append(one.AppendJSON(data), ',')), "]}"...)
	g := rules.Outcome{Kind: rules.Notification, Topic: "brno", At: at, Seq: 2, ID: "nt_1b0a3f5c_2", Data: data}
	require.NoError(t, open(t, s, plain).Deliver(t.Context(), g))
	require.Len(t, s.got(), 1)
	header, body := parts(t, s.got()[0].text)
	assert.Equal(t, "[FIRING critical] 5 firing: too-hot", header.Get("Subject"))
	assert.Equal(t, "<nt_1b0a3f5c_2@example.com>", header.Get("Message-ID"))
	assert.Equal(t, "<nt_1b0a3f5c_1@example.com>", header.Get("In-Reply-To"))
	assert.Contains(t, body["text/plain"], "FIRING major: <b>machine_2</b>\n")
	assert.Contains(t, body["text/plain"], "\nand 3 more\n")
	assert.Contains(t, body["text/html"], "FIRING major: &lt;b&gt;machine_2&lt;/b&gt;")
}

func TestTemplates(t *testing.T) {
	s := serve(t, noTLS, false)
	k := open(t, s, plain+`,"subject":"{{.rule}}: {{.summary}}","text":"{{.twin}}","html":""`)
	o := alert()
	o.Summary = "hot\r\nBcc: evil@example.com"
	require.NoError(t, k.Deliver(t.Context(), o))
	header, body := parts(t, s.got()[0].text)
	assert.Empty(t, header.Get("Bcc"))
	assert.Equal(t, "too-hot: hot  Bcc: evil@example.com", header.Get("Subject"))
	assert.Equal(t, map[string]string{"text/plain": "machine_1\r\n"}, body)
}

// said is an answer of the server.
func said(code int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "as the test wants it"}
}

func TestOneOfTwoRefused(t *testing.T) {
	s := serve(t, noTLS, false)
	s.answers["b@example.com"] = []error{said(550), said(550)}
	k := open(t, s, plain)
	err := k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "<b@example.com>: 550")
	assert.NotContains(t, err.Error(), "a@example.com")
	assert.True(t, sinks.IsPermanent(err), "a dead letter names who has no mail")
	require.Len(t, s.got(), 1)
	assert.Equal(t, []string{"a@example.com"}, s.got()[0].to)

	require.Error(t, k.Deliver(t.Context(), alert()), "an operator retries the dead letter too early")
	require.NoError(t, k.Deliver(t.Context(), alert()), "and then when the address is there")
	require.Len(t, s.got(), 2)
	assert.Equal(t, []string{"b@example.com"}, s.got()[1].to, "no second mail to the other")
}

func TestGreylisting(t *testing.T) {
	s := serve(t, noTLS, false)
	s.answers["a@example.com"] = []error{said(450), nil}
	s.answers["b@example.com"] = []error{said(450), nil, said(550)}
	k := open(t, s, plain)
	err := k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "450")
	assert.False(t, sinks.IsPermanent(err))
	assert.Empty(t, s.got())
	require.NoError(t, k.Deliver(t.Context(), alert()))
	require.Len(t, s.got(), 1)
	assert.Equal(t, []string{"a@example.com", "b@example.com"}, s.got()[0].to)
}

// TestPutOffAndRefused is of a recipient who is refused while another is put off.
func TestPutOffAndRefused(t *testing.T) {
	s := serve(t, noTLS, false)
	s.answers["a@example.com"], s.answers["b@example.com"] = []error{said(450)}, []error{said(550)}
	k := open(t, s, plain)
	err := k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "<a@example.com>: 450")
	assert.False(t, sinks.IsPermanent(err))
	err = k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "<b@example.com>: 550")
	assert.True(t, sinks.IsPermanent(err))
	require.Len(t, s.got(), 1)
	assert.Equal(t, []string{"a@example.com"}, s.got()[0].to)
}

func TestMailRefused(t *testing.T) {
	s := serve(t, noTLS, false)
	s.data = []error{said(554), said(451)}
	k := open(t, s, plain)
	err := k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "554")
	assert.True(t, sinks.IsPermanent(err))
	err = k.Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "451")
	assert.False(t, sinks.IsPermanent(err))
	require.NoError(t, k.Deliver(t.Context(), alert()))
	assert.Len(t, s.got(), 1)
}

// TestConnectionLost is of a server that has ended a connection which was kept.
func TestConnectionLost(t *testing.T) {
	s := serve(t, noTLS, false)
	k := open(t, s, plain)
	require.NoError(t, k.Deliver(t.Context(), alert()))
	k.idle[0].end()
	require.NoError(t, k.Deliver(t.Context(), alert()))
	assert.Len(t, s.got(), 2)
	assert.Equal(t, 2, s.sessions)
}

// TestServerThatHangs is of one that takes a connection and says nothing.
func TestServerThatHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // the test is over
	s := &server{address: listener.Addr().String()}
	err = open(t, s, plain+`,"timeout":"100ms"`).Deliver(t.Context(), alert())
	require.Error(t, err)
	assert.False(t, sinks.IsPermanent(err))
}

// talk is the address of a server that says this first, and then each answer to a
// line that comes, the last one without end.
func talk(t *testing.T, first string, answers func(line string) string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close() //nolint:errcheck // a test
		_, _ = io.WriteString(c, first)
		for lines := bufio.NewScanner(c); lines.Scan(); {
			said := answers(lines.Text())
			for endless := !strings.HasSuffix(said, "\n"); ; {
				if _, err := io.WriteString(c, said); err != nil || !endless {
					break
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		served.Wait()
	})
	return &server{address: listener.Addr().String()}
}

// What a server said was kept until the time of the mail was up.
func TestServerThatSaysTooMuch(t *testing.T) {
	for name, endless := range map[string]string{"line": strings.Repeat("x", 1000), "lines": "250-" + strings.Repeat("x", 900) + "\n250-"} {
		t.Run(name, func(t *testing.T) {
			s := talk(t, "220 here\r\n", func(string) string { return endless })
			err := open(t, s, plain+`,"timeout":"1m"`).Deliver(t.Context(), alert())
			require.ErrorContains(t, err, "the server says more than 128 KiB at once")
			assert.False(t, sinks.IsPermanent(err))
		})
	}
}

// Hashing the password was begun however often the server wanted it, and nothing
// interrupts that.
func TestServerThatWantsMuchHashing(t *testing.T) {
	s := talk(t, "220 here\r\n", func(line string) string {
		switch said, err := base64.StdEncoding.DecodeString(line); {
		case strings.HasPrefix(line, "EHLO"):
			return "250-here\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n"
		case strings.HasPrefix(line, "AUTH"):
			return "334 \r\n"
		case err == nil && bytes.HasPrefix(said, []byte("n,,")):
			_, nonce, _ := bytes.Cut(said, []byte(",r="))
			return "334 " + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "r=%sx,s=c2FsdA==,i=9000000000000000000", nonce)) + "\r\n"
		default:
			return "501 what\r\n"
		}
	})
	delivered := make(chan error, 1)
	sink := open(t, s, `,"security":"none","to":["a@example.com"],"username":"tocsin","password":"s3cret","timeout":"1m"`)
	go func() { delivered <- sink.Deliver(t.Context(), alert()) }()
	select {
	case err := <-delivered:
		require.ErrorContains(t, err, "the server wants the password hashed 9000000000000000000 times; want at most 1000000")
		assert.False(t, sinks.IsPermanent(err))
	case <-time.After(90 * time.Second):
		require.Fail(t, "it hashes for ever")
	}
}

func TestNobody(t *testing.T) {
	s := serve(t, noTLS, false)
	err := open(t, s, `,"security":"none","to":["{{get .labels \"owner\"}}"]`).Deliver(t.Context(), alert())
	require.ErrorContains(t, err, "0 recipients; want 1 to 100")
	assert.True(t, sinks.IsPermanent(err))
	o := alert()
	o.Labels["owner"] = "x\r\nRCPT TO:<evil@example.com>"
	err = open(t, s, `,"security":"none","to":["{{get .labels \"owner\"}}"]`).Deliver(t.Context(), o)
	require.ErrorContains(t, err, "is no mail address")
	assert.True(t, sinks.IsPermanent(err))
}

func TestConfigErrors(t *testing.T) {
	const good = `"server":"h:587","from":"a@example.com","to":["b@example.com"]`
	for text, want := range map[string]string{
		`{}`: "c:1:1: field \"server\" is missing\nc:1:1: field \"from\" is missing\nc:1:1: field \"to\" is missing",
		`{"server":"h","from":"a@example.com","to":["b@example.com"]}`:         `c:1:11: /server: got "h"; want host:port such as smtp.example.com:587`,
		`{"server":"h:25","from":"a","to":["b@example.com"]}`:                  `c:1:25: /from: got "a"; want a mail address such as tocsin@example.com`,
		`{"server":"h:25","from":"a@example.com","to":[]}`:                     `c:1:46: /to: nobody; want at least one mail address`,
		`{"server":"h:25","from":"a@example.com","to":["b"]}`:                  `c:1:47: /to/0: template, for an alert that fires: "b" is no mail address; want one, several with commas between, or nothing`,
		`{"server":"h:25","from":"a@example.com","to":["{{.owner}}"]}`:         `c:1:50: /to/0: template: no field "owner"; a label is (get .labels "owner"), a value of the data (get .data "owner")`,
		`{` + good + `,"security":"ssl"}`:                                      `c:1:76: /security: got "ssl"; want one of starttls, tls, none`,
		`{` + good + `,"username":"u"}`:                                        `c:1:1: a username and a password go together; want both or none`,
		`{` + good + `,"username":"u","password":"s3cret","passwordFile":"f"}`: `c:1:115: /passwordFile: password and passwordFile; want one of them`,
		`{` + good + `,"security":"none","tls":{"ca":"x.pem"}}`:                `c:1:89: /tls: tls ca: open x.pem: no such file or directory`,
		`{` + good + `,"subject":"{{.summry}}"}`:                               `c:1:78: /subject: template: no field "summry"; did you mean "summary"?`,
		`{` + good + `,"html":"<b>{{.summry}}"}`:                               `c:1:78: /html: template: no field "summry"; did you mean "summary"?`,
		`{` + good + `,"timeout":"0s"}`:                                        `c:1:75: /timeout: got 0s; want more than nothing`,
	} {
		_, err := make1(t, text)
		require.Error(t, err, text)
		assert.Equal(t, want, err.Error(), text)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

// Another process, or this one before it was killed, had sent it to one of two.
func TestWhoHasTheMailIsKnownAfterACrash(t *testing.T) {
	s := serve(t, noTLS, false)
	s.answers["b@example.com"] = []error{said(450)}
	first, second := sinks.Note{}, sinks.Note{}
	require.Error(t, open(t, s, plain).Deliver(sinks.WithNote(t.Context(), &first), alert()))
	assert.Equal(t, []string{"a@example.com"}, first.Has)
	second.Had = func(context.Context) []string { return first.Has }
	require.NoError(t, open(t, s, plain).Deliver(sinks.WithNote(t.Context(), &second), alert()))
	require.Len(t, s.got(), 2)
	assert.Equal(t, []string{"b@example.com"}, s.got()[1].to, "no second mail to the other")
	assert.Equal(t, []string{"b@example.com"}, second.Has)
}
