package config

import (
	"fmt"
	"io"
	"strings"
)

// Show writes the settings in force, and where each came from, in the form of a
// configuration file.
func (l *Loaded) Show(w io.Writer) error {
	section := ""
	for _, s := range Settings() {
		if err := heading(w, s, &section); err != nil {
			return err
		}
		line := fmt.Sprintf("%s%s: %s", indent(s), s.Name, valueText(s.in(&l.Config)))
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
		if err := heading(w, s, &section); err != nil {
			return err
		}
		given := s.Env() + ", --" + s.Flag()
		if s.FileOnly() {
			given = "in the file only"
		}
		in := indent(s)
		if _, err := fmt.Fprintf(w, "%s# %s (%s; %s)\n%s%s: %s\n", in, s.Doc, s.Type, given, in, s.Name, s.Default); err != nil {
			return err
		}
	}
	return nil
}

// heading writes the head of the section that s is in, where it begins. A section
// within another comes after the other's settings.
func heading(w io.Writer, s Setting, section *string) error {
	if s.Section == *section {
		return nil
	}
	*section = s.Section
	levels := strings.Split(s.Section, ".")
	last := len(levels) - 1
	_, err := fmt.Fprintf(w, "%s%s:\n", strings.Repeat("  ", last), levels[last])
	return err
}

func indent(s Setting) string { return strings.Repeat("  ", strings.Count(s.Key(), ".")) }
