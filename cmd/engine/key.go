package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin.internal/api/access"
	"tocsin.internal/api/keys"
	"tocsin.internal/internal/strictjson"
)

// keyRing is the file of keys that the commands work on.
type keyRing struct{ file string }

func keyCommand() *cobra.Command {
	r := &keyRing{}
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke API keys",
		Long: `API keys are for programs and people that show no token of an agent. The file
holds no secrets, only their hashes; a running engine reads it again when it changes.

Exit codes: 0 done; 1 the file cannot be used; 2 wrong use.`,
		Example: `  engine key new --name ci --role author --role device --expires 90d
  TOCSIN_TOKEN=tocsin_… engine alerts
  engine key list
  engine key revoke ci`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&r.file, "keys", defaultAuth().Keys, "the file, auth.keys of the configuration")
	cmd.AddCommand(r.newCommand(), r.listCommand(), r.revokeCommand())
	return cmd
}

func (r *keyRing) newCommand() *cobra.Command {
	var name string
	var roles, twins []string
	var expires span
	cmd := &cobra.Command{
		Use:   "new --name NAME --role ROLE",
		Short: "Make a key, and show its secret once",
		Long: `Make a key and print its secret, which is nowhere else afterwards. The roles:

  viewer    looks and follows
  device    shares samples and sends messages to inputs
  member    looks, shares, sends, and makes, changes and deletes twins
  operator  looks, and acts on alerts, silences and dead letters
  author    looks, and changes rules and twins
  admin     everything`,
		Example: `  engine key new --name ci --role author --expires 90d
  engine key new --name line-2 --role device --twins 'machine_*'`,
		Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			var until time.Time
			if expires > 0 {
				until = now.Add(time.Duration(expires))
			}
			k, secret, err := keys.New(name, roles, twins, now, until)
			if err != nil {
				return wrongUse("engine key new: %w", err)
			}
			return r.add(k, secret, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "whose key it is, for the audit")
	flags.StringArrayVar(&roles, "role", nil, strings.Join(access.Roles(), ", ")+"; may be repeated")
	flags.StringArrayVar(&twins, "twins", nil, "a pattern of the twins that it may change, such as machine_*; may be repeated; default all")
	flags.Var(&expires, "expires", "for how long it holds, such as 90d; default for ever")
	return cmd
}

func (r *keyRing) add(k keys.Key, secret string, out, about io.Writer) error {
	all, err := keys.Read(r.file)
	if err != nil {
		return exit{exitNo, err}
	}
	if slices.ContainsFunc(all, func(o keys.Key) bool { return o.Name == k.Name }) {
		return exit{exitNo, fmt.Errorf("%s: name %q is taken; want a name of its own", r.file, k.Name)}
	}
	if err := keys.Write(r.file, append(all, k)); err != nil {
		return exit{exitNo, err}
	}
	fmt.Fprintf(about, "%s: key %q; this is its secret, shown once:\n", r.file, k.Name)
	_, err = fmt.Fprintln(out, secret)
	return err
}

func (r *keyRing) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys; not their secrets, which nobody knows",
		Example: "  engine key list", Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := keys.Read(r.file)
			if err != nil {
				return exit{exitNo, err}
			}
			return printKeys(cmd.OutOrStdout(), all, time.Now())
		},
	}
}

func printKeys(out io.Writer, all []keys.Key, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLES\tTWINS\tCREATED\tEXPIRES")
	for _, k := range all {
		twins, expires := strings.Join(k.Twins, " "), k.Expires
		if len(k.Twins) == 0 {
			twins = "all"
		}
		switch {
		case expires == "":
			expires = "never"
		case k.Expired(now):
			expires += " (expired)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.Name, strings.Join(k.Roles, " "), twins, k.Created, expires)
	}
	return w.Flush()
}

func (r *keyRing) revokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME…", Short: "Let keys hold no longer",
		Example: "  engine key revoke ci", Args: wantSome("NAME"),
		RunE: func(_ *cobra.Command, args []string) error { return r.revoke(args) },
	}
}

func (r *keyRing) revoke(names []string) error {
	all, err := keys.Read(r.file)
	if err != nil {
		return exit{exitNo, err}
	}
	var known []string
	for _, k := range all {
		known = append(known, k.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return exit{exitNo, fmt.Errorf("%s: no key %q%s", r.file, name, strictjson.DidYouMean(name, known))}
		}
	}
	all = slices.DeleteFunc(all, func(k keys.Key) bool { return slices.Contains(names, k.Name) })
	if err := keys.Write(r.file, all); err != nil {
		return exit{exitNo, err}
	}
	return nil
}
