package engine_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
)

// staff is a crew that has no rules.
func staff(t *testing.T, change func(*engine.Config)) *crew {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Listen: "127.0.0.1:0", Partitions: 2})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return &crew{t: t, bus: b, at: map[string]*works{}, config: func() engine.Config {
		var c engine.Config
		if change != nil {
			change(&c)
		}
		return c
	}}
}

var anyAdministrator = accounts.Actor{Account: accounts.Own(), May: accounts.Everything()}

// pin makes a PIN for the first Super Admin at a worker.
func (w *works) pin() string {
	w.t.Helper()
	var pin string
	w.until("the own account is there", func() bool {
		err := w.ChangeAccounts(w.t.Context(), func(d *accounts.Directory, now time.Time) (docs []accounts.Document, err error) {
			var u *accounts.User
			if pin, u, err = d.NewPIN(anyAdministrator, accounts.Administrator(accounts.Own()), nil, now); err != nil {
				return nil, err
			}
			return []accounts.Document{u.Document()}, nil
		})
		return err == nil
	})
	return pin
}

func (w *works) usePIN(pin string) (secret string, err error) {
	err = w.ChangeAccounts(w.t.Context(), func(d *accounts.Directory, now time.Time) ([]accounts.Document, error) {
		var u *accounts.User
		var err error
		if secret, u, err = d.UsePIN(accounts.Own(), pin, now); err != nil {
			return nil, err
		}
		return []accounts.Document{u.Document()}, nil
	})
	return secret, err
}

func (w *works) knows(secret string) bool {
	_, known, err := w.Identify(secret)
	return err == nil && known
}

func TestSecretsAreKnownAtEveryWorker(t *testing.T) {
	c := staff(t, nil)
	one, two := c.at[c.join()], c.at[c.join()]
	secret, err := one.usePIN(one.pin())
	require.NoError(t, err)
	assert.True(t, one.knows(secret), "at once where it was made")
	two.until("the other worker knows it", func() bool { return two.knows(secret) })

	// The other worker revokes it.
	require.NoError(t, two.ChangeAccounts(t.Context(), func(d *accounts.Directory, now time.Time) ([]accounts.Document, error) {
		_, u, err := d.DeleteSecret(anyAdministrator, accounts.Administrator(accounts.Own()), now)
		if err != nil {
			return nil, err
		}
		return []accounts.Document{u.Document()}, nil
	}))
	assert.False(t, two.knows(secret))
	one.until("it holds nowhere", func() bool { return !one.knows(secret) })

	// One that comes later knows what was kept, and nobody who was deleted.
	secret, err = one.usePIN(one.pin())
	require.NoError(t, err)
	var doomed *accounts.User
	require.NoError(t, one.ChangeAccounts(t.Context(), func(d *accounts.Directory, now time.Time) (docs []accounts.Document, err error) {
		role := accounts.SuperAdmin(accounts.Own())
		if doomed, err = d.CreateUser(anyAdministrator, accounts.UserForm{Role: &role}, now); err != nil {
			return nil, err
		}
		return []accounts.Document{doomed.Document()}, nil
	}))
	require.NoError(t, one.ChangeAccounts(t.Context(), func(d *accounts.Directory, _ time.Time) ([]accounts.Document, error) {
		u, err := d.DeleteUser(anyAdministrator, doomed.UUID)
		if err != nil {
			return nil, err
		}
		return []accounts.Document{u.Gone()}, nil
	}))
	three := c.at[c.join()]
	three.until("the third worker knows it", func() bool { return three.knows(secret) })
	require.NoError(t, three.LookUp(func(d *accounts.Directory) error {
		_, err := d.User(accounts.Own(), doomed.UUID)
		assert.Error(t, err)
		assert.Len(t, d.Users(accounts.Own()), 1)
		return nil
	}))
}

// Of fifty that use one PIN at two workers one gets a secret.
func TestAPINGivesOneSecret(t *testing.T) {
	c := staff(t, nil)
	one, two := c.at[c.join()], c.at[c.join()]
	for range 5 {
		pin := one.pin()
		var won, wrong atomic.Int32
		var all sync.WaitGroup
		for i := range 50 {
			w := one
			if i%2 == 0 {
				w = two
			}
			all.Go(func() {
				_, err := w.usePIN(pin)
				var no *accounts.Refusal
				switch {
				case err == nil:
					won.Add(1)
				case errors.As(err, &no) && no.Reason == accounts.Missing:
				default:
					wrong.Add(1)
					t.Error(err)
				}
			})
		}
		all.Wait()
		// A worker that had not heard of the PIN yet has said no, too.
		assert.LessOrEqual(t, won.Load(), int32(1))
		if won.Load() == 0 {
			_, err := one.usePIN(pin)
			require.NoError(t, err)
		}
		assert.Zero(t, wrong.Load())
	}
}

// The first user is invited at each start, until somebody can show a secret.
func TestTheFirstUserIsInvited(t *testing.T) {
	invited := make(chan string, 10)
	c := staff(t, func(c *engine.Config) {
		c.Invite = func(pin string, _ time.Time) { invited <- pin }
	})
	id := c.join()
	first := <-invited
	c.leave(id)

	id = c.join()
	second := <-invited
	_, err := c.at[id].usePIN(first)
	require.Error(t, err, "a new PIN took its place")
	secret, err := c.at[id].usePIN(second)
	require.NoError(t, err)
	c.leave(id)

	id = c.join()
	c.at[id].until("it knows the secret", func() bool { return c.at[id].knows(secret) })
	c.leave(id)
	assert.Empty(t, invited)
}

// Who is told that the engine is ready finds the accounts there.
func TestReadyBeforeTheAccountsWere(t *testing.T) {
	dir := t.TempDir()
	for _, what := range []string{"a new one", "what another has left"} {
		w := start(t, dir, nil)
		require.NoError(t, w.LookUp(func(d *accounts.Directory) error {
			_, err := d.User(accounts.Own(), accounts.Administrator(accounts.Own()))
			return err
		}), what)
		w.stop()
	}
}
