package subscriptions_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/subscriptions"
)

var start = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

const (
	account = "5404aaf0-fbc6-5f00-a0ad-ad628fb3645b"
	user    = "a7be445e-b670-5eaf-b6a0-82c49b238655"
)

func ask(change func(*subscriptions.Request)) subscriptions.Request {
	r := subscriptions.Request{CallbackURL: "https://h.example/x", Topic: "red", ClientSecret: "MDEyMzQ1Njc4OWFi", Expires: time.Hour}
	if change != nil {
		change(&r)
	}
	return r
}

var who = subscriptions.Subscriber{Account: account, User: user, Base: "https://space.example"}

func subscribed(change func(*subscriptions.Request)) *subscriptions.Subscription {
	r := ask(change)
	return subscriptions.Subscribe(nil, who, &r, start)
}

func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*subscriptions.Request)
		want   string
	}{
		"fine":                {nil, ""},
		"no URL":              {func(r *subscriptions.Request) { r.CallbackURL = "" }, "callback_url is missing"},
		"long URL":            {func(r *subscriptions.Request) { r.CallbackURL = "https://" + strings.Repeat("x", 505) }, "callback_url has 513 bytes; want at most 512"},
		"longest URL":         {func(r *subscriptions.Request) { r.CallbackURL = "https://" + strings.Repeat("x", 504) }, ""},
		"no topic":            {func(r *subscriptions.Request) { r.Topic = "" }, `topic ""; want 1 to 127 of 0-9 A-Z a-z . _ -`},
		"topic":               {func(r *subscriptions.Request) { r.Topic = "a b" }, `topic "a b"; want 1 to 127 of 0-9 A-Z a-z . _ -`},
		"wildcard":            {func(r *subscriptions.Request) { r.Topic = ">" }, `topic ">"; want 1 to 127 of 0-9 A-Z a-z . _ -`},
		"topic with newline":  {func(r *subscriptions.Request) { r.Topic = "red\n" }, `topic "red\n"; want 1 to 127 of 0-9 A-Z a-z . _ -`},
		"older topic":         {func(r *subscriptions.Request) { r.Topic = "a.b_c-1" }, ""},
		"no secret":           {func(r *subscriptions.Request) { r.ClientSecret = "" }, ""},
		"short secret":        {func(r *subscriptions.Request) { r.ClientSecret = "MDEyMzQ1Njc4OWF" }, "client_secret: want 16 characters of the URL-safe base64"},
		"long secret":         {func(r *subscriptions.Request) { r.ClientSecret = "MDEyMzQ1Njc4OWFiY" }, "client_secret: want 16 characters of the URL-safe base64"},
		"secret of another":   {func(r *subscriptions.Request) { r.ClientSecret = "MDEyMzQ1Njc4OW+/" }, "client_secret: want 16 characters of the URL-safe base64"},
		"URL-safe secret":     {func(r *subscriptions.Request) { r.ClientSecret = "MDEyMzQ1Njc4O_-_" }, ""},
		"no time":             {func(r *subscriptions.Request) { r.Expires = 0 }, "expires: want 1 to 604800 seconds"},
		"time that has been":  {func(r *subscriptions.Request) { r.Expires = -time.Second }, "expires: want 1 to 604800 seconds"},
		"longest":             {func(r *subscriptions.Request) { r.Expires = subscriptions.Longest }, ""},
		"longer than longest": {func(r *subscriptions.Request) { r.Expires = subscriptions.Longest + 1 }, "expires: want 1 to 604800 seconds"},
	} {
		r := ask(tt.change)
		err := r.Check()
		if tt.want == "" {
			assert.NoError(t, err, name)
			continue
		}
		assert.EqualError(t, err, tt.want, name)
		assert.ErrorIs(t, err, subscriptions.ErrRequest, name)
	}
}

func TestLife(t *testing.T) {
	s := subscribed(nil)
	assert.Equal(t, subscriptions.Unconfirmed, s.State)
	assert.True(t, s.Alive(start.Add(time.Hour-1)))
	assert.False(t, s.Alive(start.Add(time.Hour)))
	long := subscribed(func(r *subscriptions.Request) { r.Expires = subscriptions.Longest })
	assert.False(t, long.Alive(start.Add(24*time.Hour)), "nobody has confirmed it")
	c := long.Confirm(start.Add(time.Minute))
	assert.Equal(t, subscriptions.Unconfirmed, long.State, "it is not changed")
	assert.True(t, c.Alive(start.Add(subscriptions.Longest-1)))
	assert.False(t, c.Alive(start.Add(subscriptions.Longest)))
	assert.Equal(t, c, c.Confirm(start.Add(time.Hour)), "a second time changes nothing")

	again := ask(func(r *subscriptions.Request) { r.ClientSecret = ""; r.Expires = 2 * time.Hour })
	renewed := subscriptions.Subscribe(c, who, &again, start.Add(time.Hour))
	assert.Equal(t, c.ID, renewed.ID)
	assert.Equal(t, subscriptions.Confirmed, renewed.State)
	assert.Equal(t, c.Token(), renewed.Token())
	assert.Equal(t, c.ServerSecret, renewed.ServerSecret)
	assert.Equal(t, start.Add(3*time.Hour), renewed.Expires)

	first := subscribed(nil)
	repeated := subscriptions.Subscribe(first, who, &again, start.Add(time.Hour/2))
	assert.Equal(t, subscriptions.Unconfirmed, repeated.State)
	assert.NotEqual(t, first.Token(), repeated.Token(), "who has the old confirmation has nothing")
	assert.False(t, repeated.Alive(start.Add(24*time.Hour+time.Hour/2)))

	gone := c.Disable("410")
	assert.Equal(t, subscriptions.Unconfirmed, subscriptions.Subscribe(gone, who, &again, start.Add(time.Hour)).State)
	assert.Equal(t, subscriptions.Unconfirmed, subscriptions.Subscribe(c, who, &again, start.Add(8*24*time.Hour)).State, "it has expired")

	refreshed, err := c.Refresh(&subscriptions.Request{Expires: time.Minute, ClientSecret: "AAAAAAAAAAAAAAAA"}, start.Add(time.Hour))
	require.NoError(t, err)
	assert.Equal(t, start.Add(time.Hour+time.Minute), refreshed.Expires)
	assert.NotEqual(t, c.ServerSecret, refreshed.ServerSecret)
	_, err = c.Refresh(&subscriptions.Request{Expires: time.Minute, ClientSecret: "short"}, start)
	require.ErrorIs(t, err, subscriptions.ErrRequest)

	read, err := subscriptions.Decode(c.Encode())
	require.NoError(t, err)
	assert.Equal(t, c, read)
	_, err = subscriptions.Decode("{")
	require.EqualError(t, err, "subscription: unexpected end of JSON input")
}

func TestTakes(t *testing.T) {
	notice := func(account string, recipients ...string) *subscriptions.Notice {
		return &subscriptions.Notice{Account: account, Topic: "red", Recipients: recipients}
	}
	s := subscribed(nil)
	s.Role = "role"
	for name, tt := range map[string]struct {
		notice *subscriptions.Notice
		want   bool
	}{
		"of its account":                   {notice(account), true},
		"of another account":               {notice("other"), false},
		"for its user":                     {notice(account, "x", user), true},
		"for its role":                     {notice(account, "role"), true},
		"for its account":                  {notice(account, account), true},
		"for others":                       {notice(account, "x"), false},
		"for nobody":                       {notice(account, ""), false},
		"of another account, for its user": {notice("other", user), true},
		"of another account, for others":   {notice("other", "x"), false},
		"of another topic":                 {&subscriptions.Notice{Account: account, Topic: "blue"}, false},
	} {
		assert.Equal(t, tt.want, s.Takes(tt.notice), name)
	}
	also := func(account string, ids ...string) *subscriptions.Notice {
		return &subscriptions.Notice{Account: account, Topic: "red", Also: ids}
	}
	assert.True(t, s.Takes(also(account, "x")))
	assert.True(t, s.Takes(also("other", "x", user)))
	assert.False(t, s.Takes(also("other", "x", "")))
	s.Everybody = true
	assert.True(t, s.Takes(notice(account, "x")))
	assert.False(t, s.Takes(notice("other")))
	assert.False(t, s.Takes(also("other", "x")))
}

func TestToken(t *testing.T) {
	s := subscribed(nil)
	token := s.Token()
	text, err := base64.StdEncoding.DecodeString(token)
	require.NoError(t, err)
	parts := strings.Split(string(text), "___")
	require.Len(t, parts, 4)
	assert.Equal(t, account, parts[1], "where Trusted Twin's clients read it")
	assert.NotContains(t, token, "=")
	assert.NotRegexp(t, `[+/]`, token)
	claim, ok := subscriptions.ReadToken(token)
	require.True(t, ok)
	assert.True(t, s.Proves(claim))
	assert.Equal(t, account, claim.Account)
	other := subscribed(func(r *subscriptions.Request) { r.Topic = "blue" })
	assert.False(t, other.Proves(claim))
	forge := func(parts ...string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, "___")))
	}
	for _, forged := range []string{
		forge("1", account, s.ID, strings.Repeat("0", 32)), forge("1", "other", s.ID, s.Secret), forge("1", account, other.ID, s.Secret), forge("1", account, s.ID, s.Secret+"0"),
	} {
		claim, ok := subscriptions.ReadToken(forged)
		assert.True(t, ok)
		assert.False(t, s.Proves(claim), forged)
	}
	for _, broken := range []string{
		"", "x", "===", token[1:], "é", strings.Repeat("A", 513), forge("2", account, s.ID, s.Secret), forge("1", account, s.ID), forge("1", account, s.ID, s.Secret, ""),
		forge("1", account, "", s.Secret), forge("1", account, s.ID, ""),
	} {
		_, ok := subscriptions.ReadToken(broken)
		assert.False(t, ok, broken)
	}
	for _, padded := range []string{forge("1", "a", "b", "c"), forge("1", "aa", "b", "c"), forge("1", "é?>", "b", "c"), base64.URLEncoding.EncodeToString([]byte("1___é?>___b___c"))} {
		_, ok := subscriptions.ReadToken(padded)
		assert.True(t, ok, padded)
	}
}

// The hashes are those of Python:
//
//	import hashlib
//	def hash(key, *parts):
//	    h = hashlib.blake2b(digest_size=32, key=key.encode())
//	    for p in parts: h.update(p.encode())
//	    return h.hexdigest()
//	key = "MDEyMzQ1Njc4OWFi" + "0123456789abcdefghijABCDEFGHIJ-_"
//	url = "https://space.example/notifications/webhooks/5404aaf0-fbc6-5f00-a0ad-ad628fb3645b?token=" + token
//	hash(key, "subscription.confirmation", message, "1793606400.000", url, '{"account":"5404aaf0-…","topic":"red","validity_ts":1793610000.000}')
//	hash(key, "Notification", "sticker.put", message, "did:x:1", '{"color":"red","note":"é <now>","validity_ts":1793606400.50}', "1793606400.120",
//	     '{"account":…,"refresh_url":url,"topic":"red","unsubscribe_url":url,"validity_ts":1793610000.000}')
func TestMessages(t *testing.T) {
	s := subscribed(nil)
	s.Secret, s.ServerSecret = "0123456789abcdef0123456789abcdef", "0123456789abcdefghijABCDEFGHIJ-_"
	url := "https://space.example/notifications/webhooks/" + account + "?token=" + s.Token()
	p := s.Confirmation(start)
	assert.Equal(t, `{"type":"subscription.confirmation","message":"`+p.ID+`","sent_ts":1793606400.000,"confirmation_url":"`+url+`",`+
		`"subscription":{"account":"`+account+`","topic":"red","validity_ts":1793610000.000},"hash":"2222a082920ac0d960c07539504eaaa64a941d46d6b4bd31c2dcf4f45417a49f"}`, string(p.Body))
	assert.Equal(t, p.ID, s.Confirmation(start.Add(time.Minute)).ID, "the same on every attempt")

	n := &subscriptions.Notice{
		ID: "n1", Trigger: "sticker.put", Account: account, Topic: "red", Twin: "did:x:1", At: start,
		Event: json.RawMessage(` {"validity_ts": 1793606400.50, "note":"é \u003cnow\u003e", "color":"red"} `),
	}
	p = s.Notification(n, start.Add(120*time.Millisecond))
	assert.Equal(t, n.Message(), p.ID)
	assert.Equal(t, `{"type":"Notification","trigger":"sticker.put","message":"`+p.ID+`","twin":"did:x:1",`+
		`"event":{"color":"red","note":"é <now>","validity_ts":1793606400.50},"sent_ts":1793606400.120,`+
		`"subscription":{"account":"`+account+`","refresh_url":"`+url+`","topic":"red","unsubscribe_url":"`+url+`","validity_ts":1793610000.000},"hash":"46ef3e7ee0dccd85add1aabde928fba231a51533bb909b2f6fa7ef569dc57f33"}`, string(p.Body))

	s.ClientSecret = ""
	assert.Nil(t, s.Key())
	assert.NotContains(t, string(s.Notification(n, start).Body), `"hash"`)
	assert.NotContains(t, string(s.Describe(false)), "token")

	text, err := n.Encode()
	require.NoError(t, err)
	read, err := subscriptions.DecodeNotice("n1", text)
	require.NoError(t, err)
	assert.Equal(t, n.Message(), read.Message())
	_, err = subscriptions.DecodeNotice("n1", []byte("x"))
	require.Error(t, err)
	_, err = (&subscriptions.Notice{ID: "n1", Event: json.RawMessage("{")}).Encode()
	require.Error(t, err)
}

// An endpoint that answers 500 for a day, then is well.
func TestADayOf500(t *testing.T) {
	now, failures := start, 0
	wrong := errors.New("answer 500")
	var a subscriptions.Attempt
	attempts := 0
	for number := 1; now.Before(start.Add(24 * time.Hour)); number++ {
		a = subscriptions.Attempt{Job: "j", Seq: 7, Number: number, At: now}
		a.Judge(subscriptions.Answer{Status: 500, Err: wrong}, start, failures, subscriptions.DefaultRetry)
		require.Equal(t, subscriptions.Again, a.Result)
		assert.Equal(t, uint64(6), a.Done())
		assert.Equal(t, number >= subscriptions.OpenAfter, a.Open())
		wait := a.Next.Sub(now)
		assert.InDelta(t, float64(subscriptions.DefaultRetry[number-1]), float64(wait), 0.2*float64(subscriptions.DefaultRetry[number-1]))
		now, failures, attempts = a.Next, a.Failures, attempts+1
	}
	assert.Equal(t, 7, attempts, "at once, and after 5 s, 5 m, 30 m, 2 h, 5 h and 10 h")
	a = subscriptions.Attempt{Job: "j", Seq: 7, Number: attempts + 1, At: now}
	a.Judge(subscriptions.Answer{Status: 200}, start, failures, subscriptions.DefaultRetry)
	assert.Equal(t, subscriptions.Arrived, a.Result)
	assert.Zero(t, a.Failures)
	assert.False(t, a.Open())
	assert.Equal(t, uint64(7), a.Done())
}

func TestJudge(t *testing.T) {
	wrong := errors.New("no")
	retry := []time.Duration{time.Second, time.Minute}
	for name, tt := range map[string]struct {
		number, failures int
		since            time.Duration // before now
		got              subscriptions.Answer
		want             subscriptions.Result
		next             time.Duration // at least; 0 = none
		after            int           // failures
	}{
		"arrived":                              {1, 3, 0, subscriptions.Answer{Status: 201}, subscriptions.Arrived, 0, 0},
		"once":                                 {1, 0, 0, subscriptions.Answer{Err: wrong}, subscriptions.Again, 800 * time.Millisecond, 1},
		"for the last time":                    {3, 2, time.Hour, subscriptions.Answer{Err: wrong}, subscriptions.GivenUp, 0, 3},
		"asks to be left alone":                {1, 0, 0, subscriptions.Answer{Err: wrong, After: time.Hour}, subscriptions.Again, time.Hour, 1},
		"asks to be left alone for a month":    {1, 0, 0, subscriptions.Answer{Err: wrong, After: 720 * time.Hour}, subscriptions.Again, 24 * time.Hour, 1},
		"refused for ever":                     {1, 2, 0, subscriptions.Answer{Status: 400, Err: wrong, Never: true}, subscriptions.GivenUp, 0, 2},
		"gone":                                 {1, 0, 0, subscriptions.Answer{Status: 410, Err: wrong, Never: true, Gone: true}, subscriptions.Gone, 0, 1},
		"after days in which nobody delivered": {1, 0, 96 * time.Hour, subscriptions.Answer{Err: wrong}, subscriptions.Again, 800 * time.Millisecond, 1},
		"long behind others that failed":       {1, 3, time.Hour, subscriptions.Answer{Err: wrong}, subscriptions.GivenUp, 0, 4},
		"new behind others that failed":        {1, 3, 0, subscriptions.Answer{Err: wrong}, subscriptions.Again, 48 * time.Second, 4},
	} {
		a := subscriptions.Attempt{Job: "j", Seq: 1, Number: tt.number, At: start}
		a.Judge(tt.got, start.Add(-tt.since), tt.failures, retry)
		assert.Equal(t, tt.want, a.Result, name)
		assert.Equal(t, tt.after, a.Failures, name)
		assert.Equal(t, tt.next == 0, a.Next.IsZero(), name)
		if tt.next > 0 {
			assert.GreaterOrEqual(t, a.Next.Sub(start), tt.next, name)
		}
	}
	a := subscriptions.Attempt{}
	a.Judge(subscriptions.Answer{Err: errors.New(strings.Repeat("é", 400))}, start, 0, retry)
	assert.Equal(t, strings.Repeat("é", 150)+"…", a.Error)
}

// An endpoint that answered after ten seconds, or not at all, was asked again at
// once: the wait had begun with the attempt. So had the one it had asked for.
func TestAHangingEndpointWasNotLeftAlone(t *testing.T) {
	for _, after := range []time.Duration{0, 20 * time.Second} {
		a := subscriptions.Attempt{Job: "j", Seq: 1, Number: 1, At: start, Took: 10}
		a.Judge(subscriptions.Answer{Err: errors.New("no answer in time"), After: after}, start, 0, subscriptions.DefaultRetry)
		assert.GreaterOrEqual(t, a.Next.Sub(start), 10*time.Second+max(4*time.Second, after))
	}
}

func FuzzReadToken(f *testing.F) {
	s := subscribed(nil)
	for _, seed := range []string{s.Token(), "", "MV9fXw", base64.StdEncoding.EncodeToString([]byte("1___a___b___c"))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		claim, ok := subscriptions.ReadToken(token)
		if ok && s.Proves(claim) {
			again, _ := subscriptions.ReadToken(s.Token())
			assert.Equal(t, again, claim)
		}
	})
}

// Whatever a notice says, what is posted is one JSON object that says the same.
func FuzzNotification(f *testing.F) {
	f.Add("sticker.put", "did:x", []byte(`{"color":"red","a":[1.50,null,true,{"é":"\u2028<"}]}`))
	f.Add("\xff", "", []byte(`"text"`))
	f.Add("", "\x00", []byte(`1e400`))
	f.Fuzz(func(t *testing.T, trigger, twin string, event []byte) {
		n := &subscriptions.Notice{ID: "n", Trigger: trigger, Twin: twin, Event: event}
		s := subscribed(nil)
		body := s.Notification(n, start).Body
		require.True(t, json.Valid(body), "%s", body)
		text, err := n.Encode()
		if err != nil {
			return
		}
		read, err := subscriptions.DecodeNotice("n", text)
		require.NoError(t, err)
		assert.Equal(t, string(body), string(s.Notification(read, start).Body))
	})
}
