package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
)

// Who may do what: the table of docs/operators.md.
func TestRoles(t *testing.T) {
	all := []access.Action{access.Open, access.Register, access.Read, access.Share, access.Send, access.Control, access.Operate, access.Author}
	for roles, want := range map[string]string{
		"":                "open register",
		"viewer":          "open register read",
		"device":          "open register share send",
		"member":          "open register read share send control",
		"operator":        "open register read operate",
		"author":          "open register read control author",
		"admin":           "open register read share send control operate author",
		"author device":   "open register read share send control author",
		"operator author": "open register read control operate author",
		"viewer admin":    "open register read share send control operate author",
	} {
		actions, err := access.Actions(strings.Fields(roles))
		require.NoError(t, err)
		c := &access.Caller{Name: roles, Actions: actions}
		var may []string
		for _, a := range all {
			if (&access.Guard{}).May(t.Context(), c, a, "") == nil {
				may = append(may, string(a))
			}
		}
		assert.Equal(t, want, strings.Join(may, " "), roles)
	}
	assert.Equal(t, []string{"admin", "author", "device", "member", "operator", "viewer"}, access.Roles())
	_, err := access.Actions([]string{"viewer", "root"})
	assert.EqualError(t, err, `no role "root"`)
}

func TestTwins(t *testing.T) {
	for pattern, tt := range map[string]struct{ fits, not []string }{
		"machine_1":   {[]string{"machine_1"}, []string{"machine_10", "", "machine_"}},
		"machine_*":   {[]string{"machine_", "machine_1", "machine_a/b.c>*"}, []string{"machine", "x_machine_1"}},
		"*":           {[]string{"", "x"}, nil},
		"a*b*c":       {[]string{"abc", "a1b2c", "abbcc"}, []string{"ab", "acb", "abcx"}},
		"*_1":         {[]string{"_1", "machine_1"}, []string{"machine_10"}},
		"aa*aa":       {[]string{"aaaa", "aaxaa"}, []string{"aaa"}},
		"did:*[a-z]?": {[]string{"did:x[a-z]?"}, []string{"did:xy"}},
		"":            {[]string{""}, []string{"x"}},
	} {
		c := &access.Caller{Name: "c", Twins: []string{"none", pattern}}
		may := func(twin string) bool {
			return (&access.Guard{}).May(t.Context(), c, access.Share, twin) == nil
		}
		for _, twin := range tt.fits {
			assert.True(t, may(twin), "%q %q", pattern, twin)
		}
		for _, twin := range tt.not {
			assert.Equal(t, twin == "", may(twin), "%q %q", pattern, twin) // without a twin it is not asked
		}
	}
}

func TestWhoControls(t *testing.T) {
	g := &access.Guard{Controls: func(_ context.Context, c *access.Caller, twin string) error {
		if c.Agent == "agent" && twin == "mine" {
			return nil
		}
		return access.Deny("not yours")
	}}
	member, err := access.Actions([]string{"member"})
	require.NoError(t, err)
	c := &access.Caller{Name: "user", Agent: "agent", Actions: member}
	for _, a := range []access.Action{access.Share, access.Control} {
		require.NoError(t, g.May(t.Context(), c, a, "mine"))
		require.EqualError(t, g.May(t.Context(), c, a, "theirs"), "not yours")
	}
	for _, a := range []access.Action{access.Read, access.Send} { // who follows, or sends to an input, need not control it
		require.NoError(t, g.May(t.Context(), c, a, "theirs"))
	}
	err = g.May(t.Context(), c, access.Author, "")
	require.EqualError(t, err, "user may not author")
	refused, ok := access.AsRefused(err)
	require.True(t, ok)
	assert.Equal(t, access.Denied, refused.Code)
	assert.True(t, slices.Contains(member, access.Control))
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"":                      "",
		"Bearer x":              "x",
		"bearer   x ":           "x",
		"Bearer":                "",
		"Bearer ":               "",
		"tocsinu_x":             "tocsinu_x", // as clients of Trusted Twin show it
		" tocsinu_x ":           "tocsinu_x",
		"Basic eDp5":            "",
		"tocsinu_x something":   "",
		"Bearer tocsinu_x y":    "tocsinu_x y",
		"Digest username=\"x\"": "",
	} {
		assert.Equal(t, want, access.Bearer(header), "%q", header)
	}
}

// Where anybody may do everything, who shows the secret of a user is that user.
func TestAnybody(t *testing.T) {
	user := &access.Caller{Name: "user", Actions: []access.Action{"get_sticker"}}
	open := &access.Guard{Anybody: true, Identify: func(_ context.Context, token string) (*access.Caller, error) {
		if token == "tocsinu_right" {
			return user, nil
		}
		return nil, access.Unknown("no such secret")
	}}
	assert.True(t, open.Open())
	assert.True(t, (*access.Guard)(nil).Open())
	for _, token := range []string{"", "x", "tocsin_x", "TOCSINU_x"} {
		c, err := open.Caller(t.Context(), token)
		require.NoError(t, err, token)
		assert.Same(t, access.Anybody, c, token)
	}
	c, err := open.Caller(t.Context(), "tocsinu_right")
	require.NoError(t, err)
	assert.Same(t, user, c)
	require.EqualError(t, open.May(t.Context(), c, access.Read, ""), "user may not read")
	_, err = open.Caller(t.Context(), "tocsinu_wrong")
	require.EqualError(t, err, "no such secret")

	closed := &access.Guard{Identify: open.Identify}
	assert.False(t, closed.Open())
	_, err = closed.Caller(t.Context(), "")
	require.EqualError(t, err, "no token; want the header Authorization: Bearer TOKEN")
	assert.Positive(t, access.LookAgain("tocsinu_x"))
	assert.Zero(t, access.LookAgain("tocsin_x"))
}

// Who is known by a name acts in the own account; who may do everything is
// everybody, and nobody's recipient.
func TestSettle(t *testing.T) {
	c := &access.Caller{Name: "ci", Actions: []access.Action{access.Read}}
	c.Settle([]string{"viewer"})
	assert.Equal(t, []string{accounts.Own(), accounts.OwnUser("ci"), accounts.OwnRole([]string{"viewer"})}, []string{c.Account, c.User, c.Role})
	assert.False(t, c.Everybody())
	assert.True(t, c.Among([]string{"x", accounts.OwnUser("ci")}))
	assert.False(t, c.Among([]string{"", "x"}))
	admin := &access.Caller{Name: "root"}
	admin.Settle([]string{"admin"})
	assert.Empty(t, admin.Account)
	assert.True(t, admin.Everybody())
}

// A list that only an operator may see was in the audit log whenever somebody looked.
func TestRoutesThatOnlyLookWereRecorded(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		action  access.Action
		want    bool
	}{
		{"GET /api/v1/subscriptions", access.Operate, false},
		{"DELETE /api/v1/subscriptions/{id}", access.Operate, true},
		{"GET /api/v1/rules", access.Read, false},
		{"GET /notifications/webhooks/{account}", "webhook_confirm_subscription", true},
	} {
		route := access.Route{Pattern: tt.pattern, Action: tt.action}
		assert.Equal(t, tt.want, route.Changes(), tt.pattern)
	}
}

// What only looks is not in the audit log.
func TestChanges(t *testing.T) {
	for action, want := range map[access.Action]bool{
		access.Open: false, access.Read: false, "get_sticker": false, "who_am_i": false,
		access.Control: true, access.Redeem: true, "put_sticker": true, "create_user_role": true,
	} {
		assert.Equal(t, want, action.Changes(), action)
	}
}
