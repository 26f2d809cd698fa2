package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/internal/strictjson"
)

// registry is a running engine whose accounts and users the commands work on.
type registry struct{ client }

// pin is what the commands read of a PIN.
type pin struct {
	PIN      string  `json:"pin"`
	Account  string  `json:"account"`
	Validity float64 `json:"validity_ts"`
}

// object is what they read of an account, a role or a user.
type object struct {
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Role    string   `json:"role"`
	Actions []string `json:"actions"`
	Created float64  `json:"created_ts"`
}

const exitCodesOfRegistry = `

Exit codes: 0 done; 1 the engine refused, or is out of reach; 2 wrong use.`

func accountCommand() *cobra.Command {
	r := &registry{}
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Make, list, change and delete accounts of a running engine",
		Long: `An account has users, roles, stickers, topics and ledgers of its own. The
installation has one; companies that work with it get theirs.` + exitCodesOfRegistry,
		Example: `  engine account new "Contractor Ltd"
  engine account list
  engine account change "Contractor Ltd" --give read
  engine account delete "Contractor Ltd"`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.addURL(cmd)
	cmd.AddCommand(r.newAccountCommand(), &cobra.Command{
		Use: "list", Short: "List the accounts", Example: "  engine account list", Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.accounts(cmd.Context(), cmd.OutOrStdout()) },
	}, r.changeAccountCommand(), &cobra.Command{
		Use: "delete ACCOUNT", Short: "Delete an account with its users, roles, secrets and subscriptions",
		Long: `Delete an account, by its name or its UUID, with its users, roles, secrets and
subscriptions. Its stickers stay for their time, its ledgers are kept.`,
		Example: `  engine account delete "Contractor Ltd"`, Args: wantOne("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.edit(cmd, http.MethodDelete, "accounts", args[0], nil)
		},
	})
	return cmd
}

func (r *registry) changeAccountCommand() *cobra.Command {
	var name string
	var give []string
	var nothing bool
	cmd := &cobra.Command{
		Use: "change ACCOUNT", Short: "Change the name of an account, or what it is given of the installation",
		Long: `Change the name of an account, by its name or its UUID, or the operations of the
installation that its users can be allowed: those of --give take the place of
those that it had.`,
		Example: `  engine account change "Contractor Ltd" --name "Contractor Inc"
  engine account change "Contractor Ltd" --give read --give share
  engine account change "Contractor Ltd" --give-nothing`,
		Args: wantOne("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if cmd.Flags().Changed("name") {
				body["name"] = name
			}
			if len(give) > 0 || nothing {
				body["actions"] = give
			}
			if len(body) == 0 {
				return wrongUse("nothing to change; want --name, --give or --give-nothing")
			}
			return r.edit(cmd, http.MethodPatch, "accounts", args[0], body)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "its new name")
	addGive(cmd, &give)
	cmd.Flags().BoolVar(&nothing, "give-nothing", false, "take away what it was given")
	cmd.MarkFlagsMutuallyExclusive("give", "give-nothing")
	return cmd
}

// edit changes, or deletes, the one of a kind that somebody names.
func (r *registry) edit(cmd *cobra.Command, method, kind, named string, body any) error {
	all, err := r.list(cmd.Context(), kind)
	if err != nil {
		return err
	}
	id, err := find(strings.TrimSuffix(kind, "s"), all, named)
	if err != nil {
		return err
	}
	if err := r.ask(cmd.Context(), method, "/"+kind+"/"+id, body, nil); err != nil {
		return err
	}
	done := "changed"
	if method == http.MethodDelete {
		done = "deleted"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s (%s)\n", done, strings.TrimSuffix(kind, "s"), id, printable(all[id].Name))
	return err
}

func (r *registry) newAccountCommand() *cobra.Command {
	var give []string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Make an account with its Super Admin, and show a PIN for that user once",
		Long: `Make an account with its Super Admin, who may do everything in it, and print the
command that makes the secret of that user: once, within ten minutes. Rules,
alerts and samples of the installation are not the account's, unless --give says so.`,
		Example: `  engine account new "Contractor Ltd"
  engine account new "Contractor Ltd" --give read`,
		Args: wantOne("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var made struct {
				object
				Administrator pin `json:"administrator"`
			}
			body := map[string]any{"name": args[0], "actions": give}
			if err := r.ask(cmd.Context(), http.MethodPost, "/accounts", body, &made); err != nil {
				return err
			}
			return r.showPIN(cmd, "account "+made.UUID, made.Administrator)
		},
	}
	addGive(cmd, &give)
	return cmd
}

func addGive(cmd *cobra.Command, give *[]string) {
	cmd.Flags().StringArrayVar(give, "give", nil, "an operation of the installation that its users can be allowed: read, share, send, control, operate, author; may be repeated")
}

// showPIN prints the command that turns a PIN into a secret.
func (r *registry) showPIN(cmd *cobra.Command, of string, p pin) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s; until %s this makes the secret, once:\n", of, clock(moment(p.Validity)))
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "curl -X POST %s/secrets/%s/%s\n", strings.TrimSuffix(r.url, "/"), p.Account, p.PIN)
	return err
}

// moment is the time that an answer has as seconds since 1970.
func moment(seconds float64) time.Time { return time.UnixMilli(int64(math.Round(seconds * 1000))) }

// listAccounts are the accounts, in their order.
func (r *registry) listAccounts(ctx context.Context) ([]object, error) {
	var answer struct {
		Accounts []object `json:"accounts"`
	}
	err := r.ask(ctx, http.MethodGet, "/accounts", nil, &answer)
	return answer.Accounts, err
}

func (r *registry) accounts(ctx context.Context, out io.Writer) error {
	list, err := r.listAccounts(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCOUNT\tNAME\tGIVEN\tCREATED")
	for _, a := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.UUID, printable(a.Name), strings.Join(a.Actions, " "), clock(moment(a.Created)))
	}
	return w.Flush()
}

func userCommand() *cobra.Command {
	r := &registry{}
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Make, list, change and delete users of an account of a running engine",
		Long: `A user is a person or a program of an account: that of who asks, the
installation's own where nobody has to say who they are. What it may do is its
role's; POST /roles makes one.` + exitCodesOfRegistry,
		Example: `  engine user new "meter company" --role operations
  engine user list
  engine user change "meter company" --role viewers
  engine user delete "meter company"`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.addURL(cmd)
	cmd.AddCommand(r.newUserCommand(), &cobra.Command{
		Use: "list", Short: "List the users; not their secrets, which nobody knows", Example: "  engine user list", Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.users(cmd.Context(), cmd.OutOrStdout()) },
	}, r.changeUserCommand(), &cobra.Command{
		Use: "delete USER", Short: "Delete a user, its secret and its subscriptions",
		Long:    `Delete a user, by its name or its UUID. Its secret and its subscriptions end at once.`,
		Example: `  engine user delete "meter company"`, Args: wantOne("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.edit(cmd, http.MethodDelete, "users", args[0], nil)
		},
	})
	return cmd
}

func (r *registry) changeUserCommand() *cobra.Command {
	var name, role string
	cmd := &cobra.Command{
		Use: "change USER", Short: "Change the name or the role of a user",
		Long: `Change the name or the role of a user, by its name or its UUID. What it follows
ends when its role does, and it has to ask again.`,
		Example: `  engine user change "meter company" --role viewers
  engine user change "meter company" --name "metering"`,
		Args: wantOne("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]string{}
			if cmd.Flags().Changed("name") {
				body["name"] = name
			}
			if cmd.Flags().Changed("role") {
				id, err := r.findRole(cmd.Context(), role)
				if err != nil {
					return err
				}
				body["role"] = id
			}
			if len(body) == 0 {
				return wrongUse("nothing to change; want --name or --role")
			}
			return r.edit(cmd, http.MethodPatch, "users", args[0], body)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "its new name")
	cmd.Flags().StringVar(&role, "role", "", "name or UUID of its new role")
	return cmd
}

func (r *registry) newUserCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "new NAME --role ROLE", Short: "Make a user, and show a PIN for its secret once",
		Long:    `Make a user and print the command that makes its secret: once, within ten minutes.`,
		Example: `  engine user new "meter company" --role operations`,
		Args:    wantOne("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			id, err := r.findRole(ctx, role)
			if err != nil {
				return err
			}
			var made object
			if err := r.ask(ctx, http.MethodPost, "/users", map[string]string{"name": args[0], "role": id}, &made); err != nil {
				return err
			}
			var p pin
			if err := r.ask(ctx, http.MethodPost, "/users/"+made.UUID+"/secrets", nil, &p); err != nil {
				return err
			}
			return r.showPIN(cmd, "user "+made.UUID, p)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "name or UUID of its role")
	return cmd
}

// list are the objects of a kind, by their UUIDs.
func (r *registry) list(ctx context.Context, kind string) (map[string]object, error) {
	if kind == "accounts" { // which the engine lists in an order
		list, err := r.listAccounts(ctx)
		all := map[string]object{}
		for _, a := range list {
			all[a.UUID] = a
		}
		return all, err
	}
	var answer map[string]map[string]object
	err := r.ask(ctx, http.MethodGet, "/"+kind, nil, &answer)
	return answer[kind], err
}

// findRole is the UUID of the role that somebody names.
func (r *registry) findRole(ctx context.Context, named string) (string, error) {
	roles, err := r.list(ctx, "roles")
	if err != nil {
		return "", err
	}
	id, err := find("role", roles, named)
	if err != nil {
		return "", fmt.Errorf("--role: %w", err)
	}
	return id, nil
}

// find is the UUID of the one of a kind that somebody names, by its name or its UUID.
func find(kind string, all map[string]object, named string) (string, error) {
	var found, names []string
	for id, o := range all {
		names = append(names, o.Name)
		if id == named || o.Name == named {
			found = append(found, id)
		}
	}
	slices.Sort(names)
	switch len(found) {
	case 0:
		return "", wrongUse("no %s %q%s", kind, named, strictjson.OneOf(named, slices.Compact(names)))
	case 1:
		return found[0], nil
	}
	return "", wrongUse("%d %ss have the name %q; want a UUID", len(found), kind, named)
}

func (r *registry) users(ctx context.Context, out io.Writer) error {
	roles, err := r.list(ctx, "roles")
	if err != nil {
		return err
	}
	users, err := r.list(ctx, "users")
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tNAME\tROLE\tCREATED")
	for _, id := range slices.Sorted(maps.Keys(users)) {
		u := users[id]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", id, printable(u.Name), printable(roles[u.Role].Name), clock(moment(u.Created)))
	}
	return w.Flush()
}
