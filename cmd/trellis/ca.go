package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/ca"
)

func (a *app) caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make a cluster's authority and its nodes' certificates",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(caInitCommand(), caIssueCommand())
	return cmd
}

func caInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --cluster NAME",
		Short: "Make a new cluster authority: ca.crt for every node, ca.key for nobody",
		Args:  cobra.NoArgs,
	}
	cluster := cmd.Flags().String("cluster", "", "`NAME` of the cluster (required)")
	dir := cmd.Flags().String("dir", "ca", "`DIRECTORY` for ca.crt and ca.key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := ca.CheckName("--cluster", *cluster); err != nil {
			return &usageError{err}
		}
		authority, err := ca.NewAuthority(*cluster, time.Now())
		if err != nil {
			return err
		}
		if err := authority.Save(*dir); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "authority of cluster %s, until %s\n  %s  give it to every node\n  %s  keep it secret: it can sign for every node\n",
			*cluster, authority.Certificate().NotAfter.Format(time.DateOnly),
			filepath.Join(*dir, ca.CertFile), filepath.Join(*dir, ca.KeyFile))
		return err
	}
	return cmd
}

func caIssueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue --region REGION --node ID",
		Short: "Issue the certificate of a node",
		Args:  cobra.NoArgs,
	}
	region := cmd.Flags().String("region", "", "`REGION` that the node stands in (required)")
	node := cmd.Flags().String("node", "", "`ID` of the node (required)")
	dir := cmd.Flags().String("dir", "ca", "`DIRECTORY` of the authority")
	out := cmd.Flags().String("out", ".", "`DIRECTORY` for the node's two files")
	lifetime := cmd.Flags().Duration("for", ca.NodeLifetime, "how long the certificate holds")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for flag, name := range map[string]string{"--region": *region, "--node": *node} {
			if err := ca.CheckName(flag, name); err != nil {
				return &usageError{err}
			}
		}
		if *lifetime <= 0 {
			return usagef("--for %v is not a time to come", *lifetime)
		}
		authority, err := ca.LoadAuthority(*dir)
		if err != nil {
			return err
		}
		c, err := authority.Issue(*region, *node, *lifetime, time.Now())
		if err != nil {
			return err
		}
		cert, key := filepath.Join(*out, *node+".crt"), filepath.Join(*out, *node+".key")
		if err := c.Save(cert, key); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, until %s\n  %s\n  %s\n", c.Identity(), c.NotAfter().Format(time.DateOnly), cert, key)
		return err
	}
	return cmd
}
