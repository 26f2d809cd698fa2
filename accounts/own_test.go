package accounts_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"tocsin.internal/accounts"
)

// The identities that are derived are written into documents: they never change.
func TestDerived(t *testing.T) {
	assert.Equal(t, "5404aaf0-fbc6-5f00-a0ad-ad628fb3645b", accounts.Own())
	assert.Equal(t, uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:account")).String(), accounts.Own())
	assert.NotEqual(t, accounts.OwnUser("ci"), accounts.OwnUser("line-2"))
	assert.NotEqual(t, accounts.SuperAdmin(accounts.Own()), accounts.SuperAdmin(accounts.OwnUser("ci")))
}
