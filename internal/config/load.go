package config

import (
	"path/filepath"
	"strings"
	"time"

	"trellis/internal/keyfile"
)

// Source says where to look for settings.
type Source struct {
	// File is the path of the YAML file; empty for none.
	File string
	// Env is the environment, as os.Environ returns it.
	Env []string
	// Flags are the flags that were given, by Setting.Flag.
	Flags map[string]string
	// Now is the time at which certificates must be valid.
	Now time.Time
}

// Loaded is a configuration that was found to be in order.
type Loaded struct {
	Config
	// Origins says of each key where its value came from: "default",
	// "file:line", a variable or a flag.
	Origins map[string]string
	// Warnings are oddities that do not keep a node from running.
	Warnings []Problem
}

// originDefault is the origin of what nobody set.
const originDefault = "default"

// Load reads and checks the configuration. The error is an *InvalidError with
// all problems, or that of reading the file.
func Load(src Source) (*Loaded, error) {
	l := newLoader(src.File)
	if src.File != "" {
		data, _, err := keyfile.Read(src.File)
		if err != nil {
			return nil, err
		}
		if !l.file(src.File, data) {
			return nil, l.invalid // what else is missing would only distract
		}
	}
	l.environment(src.Env)
	l.flags(src.Flags)
	l.check(src.Now)
	if len(l.invalid.Problems) > 0 {
		return nil, l.invalid
	}
	return l.loaded, nil
}

// loader gathers the layers, each over the one before.
type loader struct {
	loaded  *Loaded
	byKey   map[string]Setting
	invalid *InvalidError
	// path is the file, and sections says where in it each section begins: the
	// places to point at where something is missing.
	path     string
	sections map[string]string
}

func newLoader(path string) *loader {
	l := &loader{
		loaded:   &Loaded{Config: Default(), Origins: map[string]string{}},
		byKey:    map[string]Setting{},
		invalid:  &InvalidError{},
		path:     path,
		sections: map[string]string{},
	}
	for _, s := range Settings() {
		l.byKey[s.Key()] = s
		l.loaded.Origins[s.Key()] = originDefault
	}
	return l
}

func (l *loader) problem(where, key string, f fault) {
	l.invalid.Problems = append(l.invalid.Problems, Problem{Where: where, Key: key, What: f.what, Fix: f.fix})
}

// set gives the setting s the value text, which stands at where.
func (l *loader) set(s Setting, text, where string) {
	if f := parseInto(s.in(&l.loaded.Config), text); f != nil {
		l.problem(where, s.Key(), *f)
		return
	}
	l.loaded.Origins[s.Key()] = where
}

func (l *loader) environment(env []string) {
	settings := Settings()
	known := make(map[string]Setting, len(settings))
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		known[s.Env()] = s
		names = append(names, strings.ToLower(s.Env()))
	}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if s, ok := known[name]; ok {
			l.set(s, value, name)
			continue
		}
		// Not an error: Kubernetes gives every pod variables named after its
		// services, and a service may well be called trellis.
		p := Problem{Where: name, What: "no setting has this name", Fix: strings.ToUpper(suggest(name, names))}
		p.Fix = strings.Replace(p.Fix, "DID YOU MEAN", "did you mean", 1)
		l.loaded.Warnings = append(l.loaded.Warnings, p)
	}
}

func (l *loader) flags(flags map[string]string) {
	for _, s := range Settings() {
		if value, ok := flags[s.Flag()]; ok {
			l.set(s, value, "--"+s.Flag())
		}
	}
}

// resolve makes the path in a file relative to that file, so that it means the
// same wherever the node is started.
func resolve(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}
