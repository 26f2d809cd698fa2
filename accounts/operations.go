package accounts

import (
	"slices"
	"strings"
)

// Operation is something that a role lets its users do. Its name is what a
// statement says, and what a way in asks for.
type Operation struct {
	Name  string
	Means string
	Kind  Kind
	For   string // the built-in roles that may, beside admin, with blanks between
}

// Kind says what an operation does to whom.
type Kind int

// The kinds.
const (
	Changes      Kind = iota // changes something that belongs to an account, or is between accounts
	Looks                    // shows something of these
	Installation             // concerns the whole installation: other accounts than its own may only where it was given them
	OwnAccount               // is for users of the own account alone
	Elsewhere                // Trusted Twin knows it and there is nothing here that it lets one do: roles may name it all the same
)

// operations are all that there are: the one table.
var operations = []Operation{
	{"read", "look at twins, samples, alerts and rules of the installation, and follow them", Installation, "viewer member operator author"},
	{"share", "share samples on a feed of a twin", Installation, "device member"},
	{"send", "send a message to an input of a twin", Installation, "device member"},
	{"control", "make, change and delete a twin of the installation", Installation, "member author"},
	{"operate", "act on alerts, silences and dead letters", Installation, "operator"},
	{"author", "change rules", Installation, "author"},
	{"create_account", "make an account beside the installation's own, and a PIN for its Super Admin", OwnAccount, ""},
	{"get_accounts", "list the accounts", OwnAccount, ""},
	{"change_account", "change the name of an account, and what it was given of the installation", OwnAccount, ""},
	{"delete_account", "delete an account with its users and roles", OwnAccount, ""},

	{"who_am_i", "ask for the account, user and role of a secret", Looks, "viewer device member operator author"},

	{"create_user_role", "make a role", Changes, ""},
	{"get_user_role", "look at a role", Looks, ""},
	{"get_user_roles", "list the roles", Looks, ""},
	{"update_user_role", "change a role", Changes, ""},
	{"delete_user_role", "delete a role", Changes, ""},
	{"create_user", "make a user", Changes, ""},
	{"get_user", "look at a user", Looks, ""},
	{"get_users", "list the users", Looks, ""},
	{"update_user", "change a user", Changes, ""},
	{"delete_user", "delete a user, and its secret with it", Changes, ""},
	{"create_user_secret_pin", "make a PIN that gives a user a secret", Changes, ""},
	{"create_user_secret", "turn a PIN into a secret: the PIN lets anybody", Changes, ""},
	{"get_user_secret", "look until when a user's secret holds; nobody can look at the secret", Looks, ""},
	{"update_user_secret", "change until when a user's secret holds", Changes, ""},
	{"delete_user_secret", "revoke a user's secret", Changes, ""},

	{"create_twin", "make a twin", Changes, "member author"},
	{"get_twin", "look at a twin's description", Looks, "viewer member operator author"},
	{"scan_twins", "list twins", Looks, "viewer member operator author"},
	{"update_twin", "change a twin's description", Changes, "member author"},
	{"terminate_twin", "end a twin", Changes, "member author"},

	{"add_twin_ledger_entry", "add entries to a ledger", Changes, "member"},
	{"get_twin_ledger", "look at a ledger", Looks, "viewer member operator author"},
	{"get_twin_ledger_entry", "look at an entry of a ledger", Looks, "viewer member operator author"},
	{"get_twin_ledger_entry_value", "look at the value of an entry", Looks, "viewer member operator author"},
	{"get_twin_ledger_entry_history", "look at the values that an entry had", Looks, "viewer member operator author"},
	{"update_twin_ledger_entry", "change entries of a ledger", Changes, "member"},
	{"update_twin_ledger_entry_value", "change the value of an entry", Changes, "member"},
	{"delete_twin_ledger_entry", "delete entries of a ledger", Changes, "member"},

	{"put_sticker", "put stickers on a twin", Changes, "member operator"},
	{"get_sticker", "look at a sticker that one is a recipient of", Looks, "viewer member operator author"},
	{"get_stickers", "look at those of a twin", Looks, "viewer member operator author"},
	{"list_stickers", "list those of all twins", Looks, "viewer member operator author"},
	{"remove_sticker", "take a sticker off that one is a recipient of", Changes, "member operator"},

	{"webhook_subscribe", "subscribe a URL to a topic", Changes, "member operator"},
	{"webhook_confirm_subscription", "confirm a subscription: its token lets anybody", Changes, "member operator"},
	{"webhook_refresh_subscription", "prolong a subscription: its token lets anybody", Changes, "member operator"},
	{"webhook_unsubscribe", "end a subscription: its token lets anybody", Changes, "member operator"},

	{"get_account", "", Elsewhere, ""},
	{"update_account", "", Elsewhere, ""},
	{"create_batch", "", Elsewhere, ""},
	{"get_batch", "", Elsewhere, ""},
	{"get_batches", "", Elsewhere, ""},
	{"update_batch", "", Elsewhere, ""},
	{"delete_batch", "", Elsewhere, ""},
	{"create_upload_url", "", Elsewhere, ""},
	{"invalidate_upload_url", "", Elsewhere, ""},
	{"get_database", "", Elsewhere, ""},
	{"get_databases", "", Elsewhere, ""},
	{"update_database", "", Elsewhere, ""},
	{"get_database_access", "", Elsewhere, ""},
	{"update_database_user_access", "", Elsewhere, ""},
	{"update_database_ip_access", "", Elsewhere, ""},
	{"attach_twin_doc", "", Elsewhere, ""},
	{"get_twin_doc", "", Elsewhere, ""},
	{"update_twin_doc", "", Elsewhere, ""},
	{"delete_twin_doc", "", Elsewhere, ""},
	{"get_twin_docs", "", Elsewhere, ""},
	{"delete_twin_docs", "", Elsewhere, ""},
	{"create_twin_identity", "", Elsewhere, ""},
	{"get_twin_identity", "", Elsewhere, ""},
	{"update_twin_identity", "", Elsewhere, ""},
	{"delete_twin_identity", "", Elsewhere, ""},
	{"get_twin_identities", "", Elsewhere, ""},
	{"resolve_twin_identity", "", Elsewhere, ""},
	{"create_indexes_table", "", Elsewhere, ""},
	{"get_indexes_table", "", Elsewhere, ""},
	{"get_indexes_tables", "", Elsewhere, ""},
	{"update_indexes_table", "", Elsewhere, ""},
	{"delete_indexes_table", "", Elsewhere, ""},
	{"truncate_indexes_table", "", Elsewhere, ""},
	{"update_indexes_access", "", Elsewhere, ""},
	{"get_log", "", Elsewhere, ""},
	{"trace", "", Elsewhere, ""},
	{"get_notifications_access", "", Elsewhere, ""},
	{"update_notifications_account_access", "", Elsewhere, ""},
	{"create_timeseries_table", "", Elsewhere, ""},
	{"get_timeseries_table", "", Elsewhere, ""},
	{"get_timeseries_tables", "", Elsewhere, ""},
	{"update_timeseries_table", "", Elsewhere, ""},
	{"delete_timeseries_table", "", Elsewhere, ""},
	{"truncate_timeseries_table", "", Elsewhere, ""},
	{"update_timeseries_access", "", Elsewhere, ""},
	{"create_user_token", "", Elsewhere, ""},
	{"refresh_user_token", "", Elsewhere, ""},
}

// Operations are those that there is something for, in the order of the table.
func Operations() []Operation {
	return slices.DeleteFunc(slices.Clone(operations), func(o Operation) bool { return o.Kind == Elsewhere })
}

// operation is the one of a name.
func operation(name string) (Operation, bool) {
	i := slices.IndexFunc(operations, func(o Operation) bool { return o.Name == name })
	if i < 0 {
		return Operation{}, false
	}
	return operations[i], true
}

// Known says whether there is an operation of the name.
func Known(name string) bool {
	_, ok := operation(name)
	return ok
}

// Shows says whether an operation only looks at something.
func Shows(name string) bool {
	o, _ := operation(name)
	return o.Kind == Looks
}

// BuiltIn are the operations of a built-in role, those of API keys; nil for a
// role that is none.
func BuiltIn(role string) (names []string) {
	for _, o := range operations {
		if slices.Contains(strings.Fields(o.For), role) {
			names = append(names, o.Name)
		}
	}
	return names
}

// names are those of all operations, for suggestions.
func names() []string {
	out := make([]string, len(operations))
	for i, o := range operations {
		out[i] = o.Name
	}
	return out
}
