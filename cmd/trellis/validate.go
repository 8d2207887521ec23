package main

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trellis/internal/config"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration file and the files that it names",
		Long: "Check a configuration file, the files that it names, and the TRELLIS_ variables that would go over it.\n" +
			"Every problem is a line: where, which setting, what is wrong; what would be right.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.loadConfig(args[0], nil)
			if err != nil {
				return err
			}
			for _, w := range l.Warnings {
				a.complain("warning: " + w.String())
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: in order\n", args[0])
			return err
		},
	}
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show settings",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "reference",
		Short: "List every setting with its meaning and default",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return config.Reference(cmd.OutOrStdout()) },
	})
	show := &cobra.Command{
		Use:   "show",
		Short: "Show the settings in force, and where each came from",
		Args:  cobra.NoArgs,
	}
	load := a.configFlags(show)
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := load()
		if err != nil {
			return err
		}
		return l.Show(cmd.OutOrStdout())
	}
	cmd.AddCommand(show)
	return cmd
}

// configFlags gives cmd a flag for every setting, and returns what loads the
// configuration from them once they are parsed.
func (a *app) configFlags(cmd *cobra.Command) func() (*config.Loaded, error) {
	flags := cmd.Flags()
	file := flags.String("config", "", "configuration `FILE`")
	for _, s := range config.Settings() {
		if !s.FileOnly() {
			flags.String(s.Flag(), s.Default, s.Doc)
			if s.IsBool() {
				flags.Lookup(s.Flag()).NoOptDefVal = "true"
			}
		}
	}
	return func() (*config.Loaded, error) {
		given := map[string]string{}
		flags.Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
		return a.loadConfig(*file, given)
	}
}

func (a *app) loadConfig(file string, flags map[string]string) (*config.Loaded, error) {
	l, err := config.Load(config.Source{File: file, Env: a.env, Flags: flags, Now: time.Now()})
	if pathErr, ok := err.(*fs.PathError); ok { //nolint:errorlint // only where it is the whole error: the file itself
		return nil, &usageError{pathErr}
	}
	return l, err
}
