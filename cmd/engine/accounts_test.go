package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/keys"
	"tocsin.internal/internal/porttest"
)

// inMode starts an engine in a mode of auth, with these settings of the bus and besides.
func inMode(t *testing.T, mode, bus, more string) *process {
	p := &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	config := fmt.Sprintf(`{"bus":{"dir":%q%s},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":%q,"keys":%q},"sinks":[]%s}`,
		filepath.Join(p.dir, "data"), bus, p.port, mode, filepath.Join(p.dir, "keys.json"), more)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "engine.json"), []byte(config), 0o600))
	p.start()
	t.Cleanup(p.kill)
	return p
}

var invitation = regexp.MustCompile(`curl -X POST (http://127\.0\.0\.1:\d+)(/secrets/\S+/\w+)`)

// invited are the paths that make the first user's secret, of all starts.
func (p *process) invited() (paths []string) {
	for _, m := range invitation.FindAllStringSubmatch(p.log.String(), -1) {
		assert.Equal(p.t, p.url(""), m[1])
		paths = append(paths, m[2])
	}
	return paths
}

// clerk is somebody with a secret at an engine.
type clerk struct {
	*process
	secret              string
	account, user, role string
}

// does is what comes of a call, by a secret as clients of Trusted Twin show it.
func (c *clerk) does(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	header := http.Header{}
	if c.secret != "" {
		header.Set("Authorization", c.secret)
	}
	status, text, err := request(c.t.Context(), method, c.url(path), body, header)
	require.NoError(c.t, err)
	var answer map[string]any
	require.NoError(c.t, json.Unmarshal([]byte(text), &answer), text)
	return status, answer
}

// must is does that wants a status.
func (c *clerk) must(want int, method, path, body string) map[string]any {
	c.t.Helper()
	status, answer := c.does(method, path, body)
	require.Equal(c.t, want, status, "%s %s: %v", method, path, answer)
	return answer
}

// becomes is somebody with the secret that a path makes.
func (p *process) becomes(path string) *clerk {
	p.t.Helper()
	made := (&clerk{process: p}).must(http.StatusCreated, http.MethodPost, path, "")
	c := &clerk{process: p, secret: made["secret"].(string)}
	who := c.must(http.StatusOK, http.MethodGet, "/whoami/", "")
	c.account, c.user, c.role = who["account"].(string), who["user"].(string), who["role"].(string)
	return c
}

// hires makes a user with a role of these actions, and its secret.
func (c *clerk) hires(name, actions string) *clerk {
	c.t.Helper()
	role := c.must(http.StatusCreated, http.MethodPost, "/roles", fmt.Sprintf(`{"name":%q,"statement":{"effect":"allow","actions":[%s]},"rules":{}}`, name, actions))
	user := c.must(http.StatusCreated, http.MethodPost, "/users", fmt.Sprintf(`{"name":%q,"role":%q}`, name, role["uuid"]))
	pin := c.must(http.StatusCreated, http.MethodPost, "/users/"+user["uuid"].(string)+"/secrets", "")
	return c.becomes("/secrets/" + pin["account"].(string) + "/" + pin["pin"].(string))
}

func TestAccounts(t *testing.T) {
	p := inMode(t, authToken, "", "")
	nobody := &clerk{process: p}
	nobody.must(http.StatusUnauthorized, "GET", "/whoami", "")
	require.Eventually(t, func() bool { return len(p.invited()) == 1 }, 30*time.Second, 10*time.Millisecond)

	// A new PIN at each start, until one is used.
	p.kill()
	p.start()
	require.Eventually(t, func() bool { return len(p.invited()) == 2 }, 30*time.Second, 10*time.Millisecond)
	pins := p.invited()
	nobody.must(http.StatusNotFound, "POST", pins[0], "")
	admin := p.becomes(pins[1])
	assert.Equal(t, []string{accounts.Own(), accounts.Administrator(accounts.Own()), accounts.SuperAdmin(accounts.Own())}, []string{admin.account, admin.user, admin.role})

	meter := admin.hires("meter company", `"who_am_i","get_user_role","get_user","put_sticker","get_stickers"`)
	boss := admin.hires("boss", `"create_user_role","create_user","create_user_secret_pin","get_users"`)
	look := admin.hires("look", `"read"`)
	account := admin.must(http.StatusCreated, "POST", "/accounts/", `{"name":"Contractor"}`)
	administrator := account["administrator"].(map[string]any)
	contractor := p.becomes("/secrets/" + administrator["account"].(string) + "/" + administrator["pin"].(string))
	assert.Equal(t, account["uuid"], contractor.account)
	spare := admin.must(http.StatusCreated, "POST", "/roles", `{"name":"spare"}`)["uuid"].(string)
	never := "00000000-0000-4000-8000-000000000000"

	for _, c := range []struct {
		name               string
		who                *clerk
		method, path, body string
		status             int
		subcode            string
	}{
		{"nobody", nobody, "GET", "/users", "", 401, "401100"},
		{"a wrong secret", &clerk{process: p, secret: admin.secret + "x"}, "GET", "/users", "", 401, "401100"},
		{"a secret that was cut", &clerk{process: p, secret: admin.secret[:30]}, "GET", "/whoami", "", 401, "401100"},
		{"basic authentication", &clerk{process: p, secret: "Basic " + admin.secret}, "GET", "/whoami", "", 401, "401100"},
		{"with the scheme", &clerk{process: p, secret: "Bearer " + admin.secret}, "GET", "/whoami", "", 200, ""},
		{"a wrong PIN", nobody, "POST", "/secrets/" + accounts.Own() + "/AAAAAA", "", 404, "404100"},
		{"a PIN of no account", nobody, "POST", "/secrets/" + never + "/AAAAAA", "", 404, "404100"},
		{"a used PIN", nobody, "POST", pins[1], "", 404, "404100"},
		{"a PIN by GET", nobody, "GET", pins[1], "", 405, "405100"},
		{"roles", admin, "GET", "/roles", "", 200, ""},
		{"roles with a slash", admin, "GET", "/roles/", "", 200, ""},
		{"users", admin, "GET", "/users", "", 200, ""},
		{"the own role", meter, "GET", "/roles/" + meter.role, "", 200, ""},
		{"the own user", meter, "GET", "/users/" + meter.user + "/", "", 200, ""},
		{"not allowed", meter, "GET", "/users", "", 403, "403100"},
		{"not allowed to make roles", meter, "POST", "/roles", `{"name":"x"}`, 403, "403100"},
		{"rules of the installation are not a company's", meter, "GET", "/api/v1/rules", "", 403, ""},
		{"one who was allowed", look, "GET", "/api/v1/rules", "", 200, ""},
		{"the administrator", admin, "GET", "/api/v1/rules", "", 200, ""},
		{"another account's administrator", contractor, "GET", "/api/v1/alerts", "", 403, ""},
		{"its own users", contractor, "GET", "/users", "", 200, ""},
		{"another account's user", contractor, "GET", "/users/" + meter.user, "", 404, "404100"},
		{"the same to change", contractor, "PATCH", "/users/" + meter.user, `{"name":"x"}`, 404, "404100"},
		{"the same to delete", contractor, "DELETE", "/users/" + meter.user, "", 404, "404100"},
		{"the same with a PIN", contractor, "POST", "/users/" + meter.user + "/secrets", "", 404, "404100"},
		{"another account's role", contractor, "GET", "/roles/" + meter.role, "", 404, "404100"},
		{"its role for a user", contractor, "POST", "/users", `{"role":"` + meter.role + `"}`, 400, "400400"},
		{"accounts", contractor, "GET", "/accounts", "", 403, "403100"},
		{"an account", contractor, "POST", "/accounts", `{"name":"x"}`, 403, "403100"},
		{"its own account", contractor, "PATCH", "/accounts/" + contractor.account, `{"actions":["read"]}`, 403, "403100"},
		{"its own account's end", contractor, "DELETE", "/accounts/" + contractor.account, "", 403, "403100"},
		{"an account without a name", admin, "POST", "/accounts", `{"actions":["read"]}`, 400, "400400"},
		{"an account that cannot be given that", admin, "PATCH", "/accounts/" + contractor.account, `{"actions":["put_sticker"]}`, 400, "400400"},
		{"an account that is not there", admin, "PATCH", "/accounts/" + never, `{"name":"x"}`, 404, "404100"},
		{"an account's name", admin, "PATCH", "/accounts/" + contractor.account + "/", `{"name":"Contractor Ltd"}`, 200, ""},
		{"the own account's end", admin, "DELETE", "/accounts/" + accounts.Own(), "", 400, "400400"},
		{"more than one has", boss, "POST", "/roles", `{"name":"x","statement":{"effect":"allow","actions":["author"]}}`, 403, "403100"},
		{"everything", boss, "POST", "/roles", `{"name":"x"}`, 403, "403100"},
		{"a Super Admin", boss, "POST", "/users", `{"name":"x","role":"` + admin.role + `"}`, 403, "403100"},
		{"to take over", boss, "POST", "/users/" + admin.user + "/secrets", "", 403, "403100"},
		{"what one has", boss, "POST", "/roles", `{"name":"x","statement":{"effect":"allow","actions":["get_users"]}}`, 201, ""},
		{"no name", admin, "POST", "/roles", `{}`, 400, "400400"},
		{"no role", admin, "POST", "/users", `{"name":"x"}`, 400, "400400"},
		{"no such role", admin, "POST", "/users", `{"role":"` + never + `"}`, 400, "400400"},
		{"an unknown action", admin, "POST", "/roles", `{"name":"x","statement":{"effect":"allow","actions":["put_stiker"]}}`, 400, "400400"},
		{"an unknown member", admin, "PATCH", "/roles/" + spare, `{"nam":"x"}`, 400, "400400"},
		{"not JSON", admin, "POST", "/roles", `{"name":`, 400, "400415"},
		{"not UTF-8", admin, "POST", "/roles", "{\"name\":\"\xff\"}", 400, "400314"},
		{"a large body", admin, "POST", "/roles", `{"name":"` + strings.Repeat("x", 64<<10) + `"}`, 400, "400141"},
		{"a secret that has ended before it begins", admin, "POST", "/users/" + meter.user + "/secrets", `{"validity_ts":1}`, 400, "400400"},
		{"a validity that is not said", admin, "PATCH", "/users/" + meter.user + "/secrets", `{}`, 400, "400400"},
		{"a validity", admin, "PATCH", "/users/" + meter.user + "/secrets", `{"validity_ts":null}`, 200, ""},
		{"no such user", admin, "GET", "/users/" + never, "", 404, "404100"},
		{"no such role to look at", admin, "GET", "/roles/x", "", 404, "404100"},
		{"a role in use", admin, "DELETE", "/roles/" + meter.role, "", 400, "400400"},
		{"the Super Admin's role", admin, "DELETE", "/roles/" + admin.role, "", 400, "400400"},
		{"the last Super Admin", admin, "DELETE", "/users/" + admin.user, "", 400, "400400"},
		{"a change of a role", admin, "PATCH", "/roles/" + spare, `{"name":"spare 2"}`, 200, ""},
		{"a role that is spare", admin, "DELETE", "/roles/" + spare, "", 200, ""},
		{"once more", admin, "DELETE", "/roles/" + spare, "", 404, "404100"},
		{"a PIN for an account's administrator", admin, "POST", "/accounts/" + contractor.account + "/secrets", "", 201, ""},
		{"of no account", admin, "POST", "/accounts/" + never + "/secrets", "", 404, "404100"},
		{"a secret to look at", admin, "GET", "/users/" + meter.user + "/secrets", "", 200, ""},
	} {
		status, answer := c.who.does(c.method, c.path, c.body)
		assert.Equal(t, c.status, status, "%s: %v", c.name, answer)
		if c.subcode != "" {
			assert.Equal(t, c.subcode, answer["subcode"], c.name)
			assert.NotEmpty(t, answer["trace"], c.name)
		}
	}

	// Nobody is told a secret twice, and none is kept.
	assert.NotContains(t, admin.must(http.StatusOK, "GET", "/users/"+meter.user+"/secrets", ""), "secret")
	p.kill()
	p.start()
	assert.Len(t, p.invited(), 2, "nobody is invited any more")
	admin.must(http.StatusOK, "GET", "/users", "")
	require.NoError(t, filepath.WalkDir(p.dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		assert.NotContains(t, string(text), admin.secret, name)
		return err
	}))

	// A revoked secret and a deleted user end at once.
	admin.must(http.StatusOK, "DELETE", "/users/"+meter.user+"/secrets", "")
	meter.must(http.StatusUnauthorized, "GET", "/whoami", "")
	admin.must(http.StatusNotFound, "DELETE", "/users/"+meter.user+"/secrets", "")
	admin.must(http.StatusOK, "DELETE", "/users/"+boss.user, "")
	boss.must(http.StatusUnauthorized, "GET", "/users", "")
	admin.must(http.StatusOK, "DELETE", "/accounts/"+contractor.account, "")
	contractor.must(http.StatusUnauthorized, "GET", "/whoami", "")
}

// Of fifty that send one PIN, one gets a secret; the others are told what is told
// of any PIN that is none.
func TestAPINOfFifty(t *testing.T) {
	p := inMode(t, authNone, "", "")
	nobody := &clerk{process: p}
	pin := nobody.must(http.StatusCreated, "POST", "/users/"+accounts.Administrator(accounts.Own())+"/secrets", "")["pin"].(string)
	statuses := make([]int, 50)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			status, _, err := request(t.Context(), http.MethodPost, p.url("/secrets/"+accounts.Own()+"/"+pin), "", nil)
			assert.NoError(t, err)
			statuses[i] = status
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	assert.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusNotFound: 49}, count)
}

// Where nobody has to say who they are, everybody is the own account's Super
// Admin; who shows a secret is its user all the same.
func TestAccountsWhereNobodyIsAsked(t *testing.T) {
	p := inMode(t, authNone, "", "")
	nobody := &clerk{process: p}
	who := nobody.must(http.StatusOK, "GET", "/whoami", "")
	assert.Equal(t, map[string]any{"account": accounts.Own(), "user": accounts.Administrator(accounts.Own()), "role": accounts.SuperAdmin(accounts.Own()), "name": "Super Admin"}, who)
	role := nobody.must(http.StatusOK, "GET", "/roles/"+who["role"].(string), "")
	assert.Equal(t, map[string]any{"effect": "deny", "actions": []any{}}, role["statement"])
	assert.Empty(t, p.invited())

	contractor := nobody.hires("contractor", `"get_sticker"`)
	contractor.must(http.StatusForbidden, "GET", "/users", "")
	contractor.must(http.StatusForbidden, "GET", "/api/v1/rules", "")
	nobody.must(http.StatusOK, "GET", "/api/v1/rules", "")
	(&clerk{process: p, secret: accounts.SecretPrefix + "x"}).must(http.StatusUnauthorized, "GET", "/api/v1/rules", "")
	(&clerk{process: p, secret: "Bearer something else"}).must(http.StatusOK, "GET", "/api/v1/rules", "")
}

// API keys act in the own account: one that may do everything as its Super Admin.
func TestKeysAreUsersOfTheOwnAccount(t *testing.T) {
	p := &process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	k, admin, err := keys.New("root", []string{"admin"}, nil, time.Now(), time.Time{})
	require.NoError(t, err)
	v, viewer, err := keys.New("view", []string{"viewer"}, nil, time.Now(), time.Time{})
	require.NoError(t, err)
	path := filepath.Join(p.dir, "keys.json")
	require.NoError(t, keys.Write(path, []keys.Key{k, v}))
	config := fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":"token","keys":%q},"sinks":[]}`, filepath.Join(p.dir, "data"), p.port, path)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "engine.json"), []byte(config), 0o600))
	p.start()
	t.Cleanup(p.kill)

	root, view := &clerk{process: p, secret: admin}, &clerk{process: p, secret: "Bearer " + viewer}
	assert.Equal(t, map[string]any{"account": accounts.Own(), "user": accounts.OwnUser("root"), "role": accounts.SuperAdmin(accounts.Own()), "name": "root"}, root.must(http.StatusOK, "GET", "/whoami", ""))
	assert.Equal(t, map[string]any{"account": accounts.Own(), "user": accounts.OwnUser("view"), "role": accounts.OwnRole([]string{"viewer"}), "name": "view"}, view.must(http.StatusOK, "GET", "/whoami", ""))
	view.must(http.StatusForbidden, "GET", "/users", "")
	view.must(http.StatusForbidden, "POST", "/roles", `{"name":"x"}`)
	root.hires("somebody", `"read"`)
	assert.Empty(t, p.invited(), "a key may do everything")
}

// Secrets open STOMP and events as they open HTTP, and when one is revoked, what is
// followed ends.
func TestSecretsOfFollowers(t *testing.T) {
	port := porttest.Port(t)
	p := inMode(t, authToken, "", fmt.Sprintf(`,"stomp":{"listen":"127.0.0.1:%d"}`, port))
	require.Eventually(t, func() bool { return len(p.invited()) == 1 }, 30*time.Second, 10*time.Millisecond)
	admin := p.becomes(p.invited()[0])
	reader, blind := admin.hires("reader", `"read"`), admin.hires("blind", `"get_sticker"`)

	connect(t, port, "passcode:"+accounts.SecretPrefix+"x").want("ERROR", "no such secret")
	peer := connect(t, port, "passcode:"+blind.secret)
	peer.want("CONNECTED")
	peer.send("SUBSCRIBE\nid:1\ndestination:/topic/alerts/>\n\n\x00")
	peer.want("ERROR", "may not read")
	peer = connect(t, port, "Authorization:"+reader.secret)
	peer.want("CONNECTED")
	peer.subscribe("id:1", "destination:/topic/alerts/>")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url("/api/v1/events?topics=alerts"), http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", reader.secret)
	events, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer events.Body.Close() //nolint:errcheck // it is read
	require.Equal(t, http.StatusOK, events.StatusCode)

	admin.must(http.StatusOK, "DELETE", "/users/"+reader.user+"/secrets", "")
	peer.want("ERROR", "no such secret")
	ended := false
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		ended = ended || strings.Contains(lines.Text(), "no such secret")
	}
	assert.True(t, ended, "events go on")
}

// The commands make accounts and users at a running engine.
func TestCommandsOfAccounts(t *testing.T) {
	p := inMode(t, authNone, "", "")
	nobody := &clerk{process: p}
	nobody.must(http.StatusCreated, "POST", "/roles", `{"name":"operations","statement":{"effect":"allow","actions":["put_sticker"]}}`)
	command := func(args ...string) (string, string, int) {
		var out, about strings.Builder
		code := run(append(args, "--url", p.url("")), &out, &about)
		return out.String(), about.String(), code
	}
	out, about, code := command("user", "new", "meter company", "--role", "operations")
	require.Equal(t, exitFine, code, about)
	assert.Regexp(t, `^user \S{36}; until \S+ this makes the secret, once:\n$`, about)
	path := invitation.FindStringSubmatch(out)[2]
	meter := p.becomes(path)
	assert.Equal(t, "meter company", meter.must(http.StatusOK, "GET", "/whoami", "")["name"])
	out, _, code = command("user", "list")
	assert.Equal(t, exitFine, code)
	assert.Regexp(t, `USER +NAME +ROLE +CREATED\n(.*\n)*\S{36}  meter company +operations +20`, out)
	_, about, code = command("user", "new", "x", "--role", "operation")
	assert.Equal(t, exitWrong, code)
	assert.Equal(t, "--role: no role \"operation\"; did you mean \"operations\"?\n", about)
	_, about, code = command("user", "new", "--role", "operations")
	assert.Equal(t, exitWrong, code)
	assert.Equal(t, "engine user new: got 0 arguments; want one NAME\n", about)

	out, about, code = command("account", "new", "Contractor Ltd", "--give", "read")
	require.Equal(t, exitFine, code, about)
	contractor := p.becomes(invitation.FindStringSubmatch(out)[2])
	contractor.must(http.StatusOK, "GET", "/api/v1/rules", "")
	out, _, code = command("account", "list")
	assert.Equal(t, exitFine, code)
	assert.Contains(t, out, contractor.account+"  Contractor Ltd  read   20")
	_, about, code = command("account", "new", "x", "--give", "reed")
	assert.Equal(t, exitWrong, code)
	assert.Contains(t, about, `no operation "reed"; did you mean "read"?`)

	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"user", "change", "meter company"}, exitWrong, "nothing to change; want --name or --role\n"},
		{[]string{"user", "change", "meter companie", "--name", "x"}, exitWrong, "no user \"meter companie\"; did you mean \"meter company\"?\n"},
		{[]string{"user", "change", "meter company", "--role", "operation"}, exitWrong, "--role: no role \"operation\"; did you mean \"operations\"?\n"},
		{[]string{"user", "change", "meter company", "--name", "metering", "--role", "Super Admin"}, exitFine, "changed user " + meter.user + " (meter company)\n"},
		{[]string{"user", "delete", "metering"}, exitFine, "deleted user " + meter.user + " (metering)\n"},
		{[]string{"user", "delete", "Super Admin"}, exitWrong, "last Super Admin stays"},
		{[]string{"account", "change", "Contractor Ltd"}, exitWrong, "nothing to change; want --name, --give or --give-nothing\n"},
		{[]string{"account", "change", "Contractor Ltd", "--name", "Contractor Inc", "--give-nothing"}, exitFine, "changed account " + contractor.account + " (Contractor Ltd)\n"},
		{[]string{"account", "delete", "Tocsin"}, exitWrong, "the installation's own account stays"},
	} {
		out, about, code := command(c.args...)
		assert.Equal(t, c.code, code, "%s", c.args)
		assert.Contains(t, out+about, c.want, "%s", c.args)
	}
	contractor.must(http.StatusForbidden, "GET", "/api/v1/rules", "")
	contractor.must(http.StatusOK, "GET", "/whoami", "")
	_, _, code = command("account", "delete", "Contractor Inc")
	assert.Equal(t, exitFine, code)
	contractor.must(http.StatusUnauthorized, "GET", "/whoami", "")
	meter.must(http.StatusUnauthorized, "GET", "/whoami", "")
}

// Any worker of a pool takes what changes accounts, and knows who shows a secret.
func TestAccountsInAPool(t *testing.T) {
	nats := porttest.Port(t)
	one := inMode(t, authToken, fmt.Sprintf(`,"listen":"127.0.0.1:%d"`, nats), "")
	require.Eventually(t, func() bool { return len(one.invited()) == 1 }, 30*time.Second, 10*time.Millisecond)
	two := inMode(t, authToken, fmt.Sprintf(`,"url":"nats://127.0.0.1:%d"`, nats), "")

	made := (&clerk{process: two}).must(http.StatusCreated, "POST", one.invited()[0], "")
	here := &clerk{process: one, secret: made["secret"].(string)}
	here.must(http.StatusOK, "GET", "/users", "")
	there := &clerk{process: two, secret: here.secret}
	until := func(status int) {
		t.Helper()
		require.Eventually(t, func() bool { got, _ := there.does("GET", "/whoami", ""); return got == status }, 30*time.Second, 10*time.Millisecond)
	}
	until(http.StatusOK)
	there.must(http.StatusCreated, "POST", "/users", fmt.Sprintf(`{"name":"second","role":%q}`, accounts.SuperAdmin(accounts.Own())))
	there.must(http.StatusOK, "DELETE", "/users/"+accounts.Administrator(accounts.Own()), "")
	until(http.StatusUnauthorized)
}
