package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/keys"
	"tocsin.internal/identity"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/internal/resolver"
)

// inDID starts an engine in mode did, with these settings of the bus, of auth and besides.
func inDID(t *testing.T, bus, auth, more string) *process {
	p := &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	config := fmt.Sprintf(`{"bus":{"dir":%q%s},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":"did","keys":%q%s},"sinks":[]%s}`,
		filepath.Join(p.dir, "data"), bus, p.port, filepath.Join(p.dir, "keys.json"), auth, more)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "engine.json"), []byte(config), 0o600))
	p.start()
	t.Cleanup(p.kill)
	return p
}

// ask is a call with a token, and its status.
func (p *process) ask(method, path, token, body string) (int, string) {
	p.t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	status, text, err := request(p.t.Context(), method, p.url(path), body, header)
	require.NoError(p.t, err)
	return status, text
}

// space is a client of the resolver of an engine.
func (p *process) space() identity.Client {
	r, err := resolver.New(p.url(""))
	require.NoError(p.t, err)
	return identity.Client{Resolver: r, Now: time.Now}
}

func seeded(seed, name string) identity.Secret {
	return identity.Secret{Seed: []byte(strings.Repeat(seed, 32)), Name: name}
}

// The tutorial's identities over REST: discover, register, discover again; then
// calls with a right to them and without.
func TestSpaceWithDIDs(t *testing.T) {
	p := inDID(t, "", "", "")
	c := p.space()
	user, agent, err := c.UserAndAgent(t.Context(), seeded("u", "user"), seeded("a", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	twin, err := c.Twin(t.Context(), seeded("a", "machine_0"), agent, "#ControlDeleg")
	require.NoError(t, err)
	other, otherAgent, err := c.UserAndAgent(t.Context(), seeded("o", "user"), seeded("o", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	token := func(agent identity.Identity, user string, lasts time.Duration) string {
		text, err := c.Token(agent, user, lasts)
		require.NoError(t, err)
		return text
	}
	mine, theirs := token(agent, user.DID, time.Hour), token(otherAgent, other.DID, time.Hour)
	elsewhere, err := identity.AuthToken(agent, user.DID, "elsewhere", time.Now(), time.Hour)
	require.NoError(t, err)
	forged := agent
	forged.Key = otherAgent.Key

	create := `{"twinId":{"value":"` + twin.DID + `"}}`
	feed := "/qapi/twins/" + twin.DID + "/feeds"
	share := `{"sample":{"data":"eyJ0ZW1wZXJhdHVyZSI6MzF9","mime":"application/json"}}`
	for _, tt := range []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"nobody", "POST", "/qapi/twins", "", create, 401, "no token"},
		{"a forged token", "POST", "/qapi/twins", token(forged, user.DID, time.Hour), create, 401, "not that of its issuer's key"},
		{"an expired token", "POST", "/qapi/twins", token(agent, user.DID, -time.Minute), create, 401, "expired at"},
		{"for another audience", "POST", "/qapi/twins", elsewhere, create, 401, "audience"},
		{"without the user's leave", "POST", "/qapi/twins", token(otherAgent, user.DID, time.Hour), create, 401, "has delegated nothing to"},
		{"an API key that is none", "POST", "/qapi/twins", keys.Prefix + "x", create, 401, "no such API key"},
		{"a huge token", "POST", "/qapi/twins", strings.Repeat("x", 60_000), create, 401, "want at most 8192"},
		{"somebody else's twin", "POST", "/qapi/twins", theirs, create, 403, "has delegated nothing to"},
		{"a twin that nobody owns", "POST", "/qapi/twins", mine, `{"twinId":{"value":"machine_1"}}`, 403, "no document"},
		{"the own twin", "POST", "/qapi/twins", mine, create, 200, twin.DID},
		{"once more", "POST", "/qapi/twins", mine, create, 200, twin.DID},
		{"its feed", "POST", feed, mine, `{"feedId":{"value":"currentTemp"}}`, 200, "currentTemp"},
		{"its feed by another", "POST", feed, theirs, `{"feedId":{"value":"x"}}`, 403, "has delegated nothing to"},
		{"a sample", "POST", feed + "/currentTemp/shares", mine, share, 200, ""},
		{"a sample by another", "POST", feed + "/currentTemp/shares", theirs, share, 403, "has delegated nothing to"},
		{"a sample at the other door", "POST", "/api/v1/samples", theirs, `{"twin":"` + twin.DID + `","feed":"currentTemp","data":{"temperature":31}}`, 403, "has delegated nothing to"},
		{"an input of it", "PUT", "/qapi/twins", mine, `{"twinId":{"id":"` + twin.DID + `"},"feeds":[{"id":"currentTemp"}],"inputs":[{"id":"set"}]}`, 200, ""},
		{"a message in its name", "POST", "/qapi/twins/" + twin.DID + "/interests/twins/" + twin.DID + "/inputs/set/messages", theirs, `{"message":{"data":"e30=","mime":"application/json"}}`, 403, "has delegated nothing to"},
		{"a message to it", "POST", "/qapi/twins/" + twin.DID + "/interests/twins/" + twin.DID + "/inputs/set/messages", mine, `{"message":{"data":"e30=","mime":"application/json"}}`, 200, ""},
		{"looking", "GET", feed, theirs, "", 200, "currentTemp"},
		{"acting on alerts", "POST", "/api/v1/silences", mine, "{}", 403, "may not operate"},
		{"deleting another's", "DELETE", "/qapi/twins/" + twin.DID, theirs, "", 403, "has delegated nothing to"},
	} {
		status, text := p.ask(tt.method, tt.path, tt.token, tt.body)
		assert.Equal(t, tt.status, status, "%s: %s", tt.name, text)
		assert.Contains(t, text, tt.want, tt.name)
		if strings.HasPrefix(tt.path, "/qapi") && status != http.StatusOK {
			assert.Contains(t, text, fmt.Sprintf(`"code":%d`, map[int]int{401: 16, 403: 7}[status]), tt.name)
		}
	}

	// What is revoked ends at once.
	require.NoError(t, c.Change(t.Context(), twin, func(d *identity.Document) { d.DelegateControl[0].Revoked = true }))
	status, text := p.ask("POST", feed+"/currentTemp/shares", mine, share)
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, text, "has revoked delegation #ControlDeleg")
	require.NoError(t, c.Change(t.Context(), agent, func(d *identity.Document) { d.PublicKey[0].Revoked = true }))
	status, text = p.ask("GET", feed, mine, "")
	assert.Equal(t, http.StatusUnauthorized, status)
	assert.Contains(t, text, "key #agent-0 of "+agent.DID+" is revoked")

	// Documents outlive the engine.
	p.kill()
	assert.Regexp(t, `"path":"/1.0/register","action":"register","twin":"`+twin.DID+`","status":200`, p.log.String())
	assert.Regexp(t, `"caller":"`+user.DID+`","agent":"`+agent.DID+`#agent-0",.*"path":"/qapi/twins","action":"control","twin":"`+twin.DID+`","status":200`, p.log.String())
	assert.NotContains(t, p.log.String(), mine)
	p.start()
	_, err = c.Resolver.Discover(t.Context(), user.DID)
	require.NoError(t, err)
	status, _ = p.ask("GET", feed, theirs, "")
	assert.Equal(t, http.StatusOK, status)
}

// What is revoked at one worker of a pool ends at the others, without waiting for
// what they remember to become old.
func TestRevokedInThePool(t *testing.T) {
	nats := porttest.Port(t)
	one := inDID(t, fmt.Sprintf(`,"listen":"127.0.0.1:%d"`, nats), "", "")
	two := inDID(t, fmt.Sprintf(`,"url":"nats://127.0.0.1:%d"`, nats), "", "")
	c := one.space()
	user, agent, err := c.UserAndAgent(t.Context(), seeded("u", "user"), seeded("a", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	twin, err := c.Twin(t.Context(), seeded("a", "machine_0"), agent, "#ControlDeleg")
	require.NoError(t, err)
	token, err := c.Token(agent, user.DID, time.Hour)
	require.NoError(t, err)
	create := `{"twinId":{"value":"` + twin.DID + `"}}`
	for _, p := range []*process{one, two} { // one of them hands it over to the other
		status, text := p.ask("POST", "/qapi/twins", token, create)
		require.Equal(t, http.StatusOK, status, text)
	}
	require.NoError(t, c.Change(t.Context(), user, func(d *identity.Document) { d.DelegateAuthentication[0].Revoked = true }))
	status, _ := one.ask("POST", "/qapi/twins", token, create)
	assert.Equal(t, http.StatusUnauthorized, status)
	require.Eventually(t, func() bool {
		status, _ := two.ask("POST", "/qapi/twins", token, create)
		return status == http.StatusUnauthorized
	}, 25*time.Second, 5*time.Millisecond) // before what it remembers becomes old
}

// Documents may be with another resolver. While it is away it cannot be said who
// somebody is, which is no refusal.
func TestAnotherResolver(t *testing.T) {
	other := inDID(t, "", "", "")
	p := inDID(t, "", fmt.Sprintf(`,"resolver":%q`, other.url("")), "")
	c := other.space()
	user, agent, err := c.UserAndAgent(t.Context(), seeded("u", "user"), seeded("a", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	token, err := c.Token(agent, user.DID, time.Hour)
	require.NoError(t, err)
	status, text := p.ask("GET", "/qapi/twins", token, "")
	assert.Equal(t, http.StatusOK, status, text)
	status, _ = p.ask("GET", "/1.0/discover/"+user.DID, "", "")
	assert.Equal(t, http.StatusNotFound, status, "it is no resolver itself")
	_, text = p.ask("GET", "/index.json", "", "")
	assert.Contains(t, text, fmt.Sprintf(`"resolver":%q`, other.url("")))

	_, second, err := c.UserAndAgent(t.Context(), seeded("u", "user"), seeded("b", "agent"), "#AuthDeleg2")
	require.NoError(t, err)
	token, err = c.Token(second, user.DID, time.Hour)
	require.NoError(t, err)
	other.kill()
	status, text = p.ask("GET", "/qapi/twins", token, "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, text, `"code":14`)
}

// Over STOMP the token is the passcode. Who follows a twin need not control it.
func TestFollowingWithDIDs(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", porttest.Port(t))
	p := inDID(t, "", "", fmt.Sprintf(`,"stomp":{"listen":%q}`, address))
	c := p.space()
	user, agent, err := c.UserAndAgent(t.Context(), seeded("u", "user"), seeded("a", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	twin, err := c.Twin(t.Context(), seeded("a", "machine_0"), agent, "#ControlDeleg")
	require.NoError(t, err)
	other, otherAgent, err := c.UserAndAgent(t.Context(), seeded("o", "user"), seeded("o", "agent"), "#AuthDeleg")
	require.NoError(t, err)
	mine, err := c.Token(agent, user.DID, time.Hour)
	require.NoError(t, err)
	theirs, err := c.Token(otherAgent, other.DID, time.Hour)
	require.NoError(t, err)
	unlet, err := c.Token(otherAgent, user.DID, time.Hour)
	require.NoError(t, err)
	feed := "/qapi/twins/" + twin.DID + "/feeds"
	for _, made := range [][2]string{{"/qapi/twins", `{"twinId":{"value":"` + twin.DID + `"}}`}, {feed, `{"feedId":{"value":"temp"}}`}} {
		status, text := p.ask("POST", made[0], mine, made[1])
		require.Equal(t, http.StatusOK, status, text)
	}

	_, err = stomp.Dial("tcp", address, stomp.ConnOpt.Login("", unlet))
	require.ErrorContains(t, err, "has delegated nothing to")
	follower, err := stomp.Dial("tcp", address, stomp.ConnOpt.Login("", theirs), stomp.ConnOpt.HeartBeat(0, 0))
	require.NoError(t, err)
	defer follower.MustDisconnect() //nolint:errcheck // the test is over
	sub, err := follower.Subscribe("/qapi/twins/"+twin.DID+"/interests/twins/"+twin.DID+"/feeds/temp", stomp.AckAuto)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		status, text := p.ask("POST", feed+"/temp/shares", mine, `{"sample":{"data":"eyJ0IjozMX0=","mime":"application/json"}}`)
		require.Equal(t, http.StatusOK, status, text)
		select {
		case m := <-sub.C:
			require.NoError(t, m.Err)
			assert.Contains(t, string(m.Body), "eyJ0IjozMX0=")
			return true
		default:
			return false
		}
	}, time.Minute, 50*time.Millisecond)
}
