package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/auth"
	"trellis/internal/keyfile"
	"trellis/wire"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make keys and tokens, and find out what a token allows",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(tokenKeyCommand(), tokenCreateCommand(), tokenVerifyCommand())
	return cmd
}

func tokenKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key --id ID",
		Short: "Make a key pair: one file that signs tokens, one for the nodes that check them",
		Args:  cobra.NoArgs,
	}
	id := cmd.Flags().String("id", "", "`ID` of the key, 1 to 64 of A-Z a-z 0-9 _ - (required)")
	alg := cmd.Flags().String("alg", string(auth.EdDSA), "EdDSA or ES256; HS256 only where nodes allow it")
	root := cmd.Flags().String("root", "", "the key signs only for names below this `PREFIX`")
	private := cmd.Flags().String("key", "token-key.jwk", "`FILE` for the private key")
	public := cmd.Flags().String("keys", "keys.jwks", "`FILE` for the public key set")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		scope, err := wire.ParsePrefix(*root)
		if err != nil {
			return usagef("--root: %w", err)
		}
		key, err := auth.GenerateKey(*id, auth.Algorithm(*alg), scope)
		if err != nil {
			return &usageError{err}
		}
		// A shared secret has no public part: the one file is for both sides.
		if key.Algorithm() == auth.HS256 {
			if err := key.Save(*private); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  signs and checks tokens: keep it secret, also on nodes\n", *private)
			return err
		}
		set, err := auth.PublicSet(key)
		if err != nil {
			return err
		}
		// The public file first: without it the private one is of no use, and a
		// name that is taken shows before anything secret was written.
		if err := keyfile.Create(*public, append(set, '\n')); err != nil {
			return err
		}
		if err := key.Save(*private); err != nil {
			return errors.Join(err, os.Remove(*public))
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  signs tokens: keep it secret\n%s  checks them: give it to every node (auth.keys)\n", *private, *public)
		return err
	}
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --publish NAME --subscribe NAME",
		Short: "Sign a token; it is printed",
		Long: "Sign a token; it is printed. --publish and --subscribe are names below --root, with everything below them;\n" +
			"both may be repeated, and --subscribe '' is everything below --root. What is not named is denied.",
		Example: "  trellis token create --root room --publish alice --subscribe '' --subject alice --for 1h",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	keyPath := f.String("key", "token-key.jwk", "`FILE` with the private key")
	var c auth.Claims
	f.StringVar(&c.Root, "root", "", "`PREFIX` of all names in the token")
	f.StringArrayVar(&c.Publish, "publish", nil, "`NAME` that may be published")
	f.StringArrayVar(&c.Subscribe, "subscribe", nil, "`NAME` that may be watched")
	f.StringVar(&c.Subject, "subject", "", "`WHO` holds the token")
	f.StringVar(&c.Issuer, "issuer", "", "`WHO` issues it")
	f.StringArrayVar(&c.Audience, "audience", nil, "`WHOM` it is made for")
	lifetime := f.Duration("for", time.Hour, "how long it holds")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(c.Publish)+len(c.Subscribe) == 0 {
			return usagef("a token without --publish and --subscribe allows nothing")
		}
		key, err := auth.LoadPrivateKey(*keyPath)
		if err != nil {
			return err
		}
		now := time.Now()
		c.Expires = now.Add(*lifetime)
		token, err := key.Mint(c, now)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Reveal())
		return err
	}
	return cmd
}

// verdict is what `token verify` says, with --json as it is.
type verdict struct {
	ID        string        `json:"id"`
	TokenID   string        `json:"token_id,omitempty"`
	Publish   []wire.Prefix `json:"publish"`
	Subscribe []wire.Prefix `json:"subscribe"`
	Expires   time.Time     `json:"expires"`
}

func tokenVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify < TOKEN",
		Short:   "Check a token, read from standard input, and say what it allows",
		Long:    "Check a token as a node does and say what it allows, or why it is refused. The token is read from standard\ninput: on a command line every user of the machine could see it.",
		Example: "  trellis token create … | trellis token verify --publish room/alice",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("the token is read from standard input, so that it does not show in the list of processes")
			}
			return nil
		},
	}
	f := cmd.Flags()
	keysPath := f.String("keys", "keys.jwks", "`FILE` with the public keys")
	issuer := f.String("issuer", "", "required issuer")
	audience := f.String("audience", "", "required audience")
	shared := f.Bool("allow-shared-keys", false, "accept HS256 keys")
	publish := f.String("publish", "", "also fail unless this `BROADCAST` may be published")
	subscribe := f.String("subscribe", "", "also fail unless this `BROADCAST` may be watched")
	asJSON := f.Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := auth.LoadKeySet(*keysPath, auth.KeySetOptions{AllowShared: *shared})
		if err != nil {
			return err
		}
		v, err := auth.NewVerifier(auth.Config{Keys: keys, Issuer: *issuer, Audience: *audience})
		if err != nil {
			return err
		}
		const limit = 64 << 10 // far above a token: what is longer is refused as that
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), limit))
		if err != nil {
			return fmt.Errorf("read token: %w", err)
		}
		grant, err := v.Verify(strings.TrimSpace(string(text)), time.Now())
		if err != nil {
			return fmt.Errorf("token refused: %s", auth.Explain(err))
		}
		for _, ask := range []struct {
			what, name string
			can        func(wire.Broadcast) bool
		}{{"publish", *publish, grant.CanPublish}, {"subscribe", *subscribe, grant.CanSubscribe}} {
			if ask.name == "" {
				continue
			}
			b, err := wire.ParseBroadcast(ask.name)
			if err != nil {
				return usagef("--%s: %w", ask.what, err)
			}
			if !ask.can(b) {
				return fmt.Errorf("token is valid, but may not %s %s", ask.what, b)
			}
		}
		return printGrant(cmd.OutOrStdout(), grant, *asJSON)
	}
	return cmd
}

func printGrant(w io.Writer, g auth.Grant, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(verdict{ID: g.ID, TokenID: g.TokenID, Publish: g.Publish, Subscribe: g.Subscribe, Expires: g.Expires})
	}
	list := func(scopes []wire.Prefix) string {
		if len(scopes) == 0 {
			return "nothing"
		}
		names := make([]string, 0, len(scopes))
		for _, s := range scopes {
			if s == "" {
				return "everything"
			}
			names = append(names, string(s)+" and below")
		}
		return strings.Join(names, ", ")
	}
	_, err := fmt.Fprintf(w, "token of %s, until %s\n  publish:   %s\n  subscribe: %s\n", g.ID, g.Expires.Format(time.RFC3339), list(g.Publish), list(g.Subscribe))
	return err
}
