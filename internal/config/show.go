package config

import (
	"fmt"
	"io"
)

// Show writes the settings in force, and where each came from, in the form of a
// configuration file.
func (l *Loaded) Show(w io.Writer) error {
	section := ""
	for _, s := range Settings() {
		if s.Section != section {
			section = s.Section
			if _, err := fmt.Fprintf(w, "%s:\n", section); err != nil {
				return err
			}
		}
		line := fmt.Sprintf("  %s: %s", s.Name, valueText(s.in(&l.Config)))
		if _, err := fmt.Fprintf(w, "%-44s # %s\n", line, l.Origins[s.Key()]); err != nil {
			return err
		}
	}
	return nil
}

// Reference writes every setting with its documentation, type and default.
func Reference(w io.Writer) error {
	section := ""
	for _, s := range Settings() {
		if s.Section != section {
			section = s.Section
			if _, err := fmt.Fprintf(w, "%s:\n", section); err != nil {
				return err
			}
		}
		given := s.Env() + ", --" + s.Flag()
		if s.FileOnly() {
			given = "in the file only"
		}
		if _, err := fmt.Fprintf(w, "  # %s (%s; %s)\n  %s: %s\n", s.Doc, s.Type, given, s.Name, s.Default); err != nil {
			return err
		}
	}
	return nil
}
