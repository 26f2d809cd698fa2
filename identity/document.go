package identity

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"tocsin.internal/internal/did"
)

// Document says of a DID which keys act for it, and which other DIDs.
type Document struct {
	Context                string       `json:"@context,omitempty"`
	ID                     string       `json:"id"`
	SpecVersion            string       `json:"ioticsSpecVersion"`
	Kind                   Kind         `json:"ioticsDIDType"`
	UpdateTime             int64        `json:"updateTime"` // ms since 1970
	Proof                  string       `json:"proof"`      // of the first owner's key over the DID
	PublicKey              []PublicKey  `json:"publicKey"`  // the owners: they may change the document too
	Authentication         []PublicKey  `json:"authentication"`
	DelegateControl        []Delegation `json:"delegateControl"`
	DelegateAuthentication []Delegation `json:"delegateAuthentication"`
	Metadata               Metadata     `json:"metadata"`
	Revoked                bool         `json:"revoked"`
	Controller             string       `json:"controller,omitempty"` // whose document is asked too
	Creator                string       `json:"creator,omitempty"`
}

// PublicKey is a key that acts for the document's DID.
type PublicKey struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Base58  string `json:"publicKeyBase58"`
	Revoked bool   `json:"revoked"`
}

// Delegation lets the key of another document act for this one.
type Delegation struct {
	ID         string `json:"id"`
	Controller string `json:"controller"`          // the issuer: DID#name
	Proof      string `json:"proof"`               // by the controller's key, over the DID of this document
	ProofType  string `json:"proofType,omitempty"` // "generic": over nothing, so that it holds for every document
	Revoked    bool   `json:"revoked"`
}

// Metadata is for people.
type Metadata struct {
	Label   string `json:"label,omitempty"`
	Comment string `json:"comment,omitempty"`
	URL     string `json:"url,omitempty"`
}

const (
	context2018    = "https://w3id.org/did/v1"
	specVersion    = "0.0.1"
	ownerKeyType   = "Secp256k1VerificationKey2018"
	authKeyType    = "Secp256k1SignatureAuthentication2018"
	genericProof   = "generic"
	maxEntries     = 128 // of one list of a document
	maxLabelRunes  = 64
	maxOthersRunes = 512
)

// NewDocument is the first document of an identity, which owns it.
func NewDocument(i Identity, kind Kind, now time.Time) *Document {
	return &Document{
		Context: context2018, ID: i.DID, SpecVersion: specVersion, Kind: kind, UpdateTime: now.UnixMilli(), Proof: i.Key.Prove(i.DID),
		PublicKey:      []PublicKey{{ID: i.Name, Type: ownerKeyType, Base58: i.Key.Public()}},
		Authentication: []PublicKey{}, DelegateControl: []Delegation{}, DelegateAuthentication: []Delegation{},
	}
}

// DelegateTo makes a delegation under a name such as "#ControlDeleg" to an
// agent, in place of one that has the name.
func (d *Document) DelegateTo(agent Identity, list *[]Delegation, name string) {
	made := Delegation{ID: name, Controller: agent.Issuer(), Proof: agent.Key.Prove(d.ID)}
	for i := range *list {
		if (*list)[i].ID == name {
			(*list)[i] = made
			return
		}
	}
	*list = append(*list, made)
}

// nameOf is the name under which the document has a key as an owner's.
func (d *Document) nameOf(public string) string {
	for _, k := range d.PublicKey {
		if k.Base58 == public {
			return k.ID
		}
	}
	return ""
}

// key is the key with a name that is not revoked; those for authentication alone
// only where these do.
func (d *Document) key(name string, authentication bool) (*secp256k1.PublicKey, error) {
	keys := d.PublicKey
	if authentication {
		keys = slices.Concat(d.PublicKey, d.Authentication)
	}
	for _, k := range keys {
		switch {
		case k.ID != name:
		case k.Revoked:
			return nil, fmt.Errorf("key %s of %s is revoked", name, d.ID)
		default:
			return publicKey(k.Base58)
		}
	}
	return nil, fmt.Errorf("%s has no key %s", d.ID, shown(name))
}

// owner is the key that the DID is made of; nil where the document no longer has it.
func (d *Document) owner() *secp256k1.PublicKey {
	for _, k := range d.PublicKey {
		if public, err := publicKey(k.Base58); err == nil && didOf(public) == d.ID {
			return public
		}
	}
	return nil
}

var nameForm = regexp.MustCompile(`^#[a-zA-Z0-9_-]{1,24}$`)

// splitIssuer takes DID#name apart.
func splitIssuer(issuer string) (id, name string, err error) {
	id, name, _ = strings.Cut(issuer, "#")
	if name = "#" + name; !did.Valid(id) || !nameForm.MatchString(name) {
		return "", "", fmt.Errorf("issuer %s; want DID#name", shown(issuer))
	}
	return id, name, nil
}

// shown is what somebody sent, at a length for messages.
func shown(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// decodeDocument reads a document, and checks its form.
func decodeDocument(text []byte) (*Document, error) {
	var d Document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return &d, nil
}

func (d *Document) check() error {
	switch {
	case !did.Valid(d.ID):
		return fmt.Errorf("id %s; want a DID", shown(d.ID))
	case d.SpecVersion != specVersion && d.SpecVersion != "0.0.0":
		return fmt.Errorf("ioticsSpecVersion %s; want %s", shown(d.SpecVersion), specVersion)
	case !slices.Contains([]Kind{Host, User, Agent, Twin}, d.Kind):
		return fmt.Errorf("ioticsDIDType %s; want host, user, agent or twin", shown(string(d.Kind)))
	case len(d.PublicKey) == 0:
		return fmt.Errorf("no publicKey")
	case len(d.PublicKey)+len(d.Authentication)+len(d.DelegateControl)+len(d.DelegateAuthentication) > maxEntries:
		return fmt.Errorf("more than %d keys and delegations", maxEntries)
	case utf8.RuneCountInString(d.Metadata.Label) > maxLabelRunes, utf8.RuneCountInString(d.Metadata.Comment) > maxOthersRunes, utf8.RuneCountInString(d.Metadata.URL) > maxOthersRunes:
		return fmt.Errorf("metadata too long; want a label of at most %d characters, a comment and a URL of at most %d", maxLabelRunes, maxOthersRunes)
	case d.Creator != "" && !did.Valid(d.Creator):
		return fmt.Errorf("creator %s; want a DID", shown(d.Creator))
	}
	if id, _, _ := strings.Cut(d.Controller, "#"); d.Controller != "" && !did.Valid(id) {
		return fmt.Errorf("controller %s; want a DID", shown(d.Controller))
	}
	return d.checkEntries()
}

// checkEntries checks keys and delegations; each name is there once.
func (d *Document) checkEntries() error {
	seen := map[string]bool{}
	once := func(name string) error {
		if !nameForm.MatchString(name) || seen[name] {
			return fmt.Errorf("name %s; want # and 1 to 24 letters, digits, - or _, each name once", shown(name))
		}
		seen[name] = true
		return nil
	}
	for _, k := range slices.Concat(d.PublicKey, d.Authentication) {
		if err := once(k.ID); err != nil {
			return err
		}
		if _, err := publicKey(k.Base58); err != nil {
			return err
		}
	}
	for _, g := range slices.Concat(d.DelegateControl, d.DelegateAuthentication) {
		if err := once(g.ID); err != nil {
			return err
		}
		if _, _, err := splitIssuer(g.Controller); err != nil {
			return err
		}
	}
	return nil
}
