package config

import (
	"reflect"
	"slices"
	"strings"
)

// envPrefix begins the names of all our environment variables.
const envPrefix = "TRELLIS_"

// Setting describes one setting.
type Setting struct {
	Section, Name string
	// Doc says in a line what it does.
	Doc string
	// Default is its value unless set, as text.
	Default string
	// Type is the kind of its value: text, number, duration, size, true/false,
	// list or nodes.
	Type string

	path []int // the fields that lead to it
}

// Key is the setting's name in the file: "section.key". A section may lie within
// another: "discovery.consul".
func (s Setting) Key() string { return s.Section + "." + s.Name }

// Env is the setting's name in the environment.
func (s Setting) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.Key(), ".", "_"))
}

// Flag is the setting's name as a flag, without the dashes in front.
func (s Setting) Flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(s.Key()) }

// FileOnly reports whether the setting can be given in the file alone.
func (s Setting) FileOnly() bool { return s.Type == typePeers }

// IsBool reports whether the setting is true or false.
func (s Setting) IsBool() bool { return s.Type == typeBool }

// in returns the setting's place in c.
func (s Setting) in(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(s.path)
}

const (
	typePeers = "nodes"
	typeBool  = "true/false"
)

// Settings returns every setting, in the order of the sections.
func Settings() []Setting {
	defaults := Default()
	root := reflect.TypeFor[Config]()
	all := make([]Setting, 0, 64)
	for i := range root.NumField() {
		section := root.Field(i)
		all = append(all, settingsOf(section.Type, section.Tag.Get("key"), []int{i}, &defaults)...)
	}
	return all
}

// settingsOf lists the settings of a section, and of those within it.
func settingsOf(t reflect.Type, section string, path []int, defaults *Config) []Setting {
	var all []Setting
	for j := range t.NumField() {
		field := t.Field(j)
		key, at := field.Tag.Get("key"), append(slices.Clone(path), j)
		if field.Type.Kind() == reflect.Struct {
			all = append(all, settingsOf(field.Type, section+"."+key, at, defaults)...)
			continue
		}
		s := Setting{Section: section, Name: key, Doc: field.Tag.Get("doc"), Type: typeName(field.Type), path: at}
		s.Default = valueText(s.in(defaults))
		all = append(all, s)
	}
	return all
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Size]():
		return "size"
	case t == reflect.TypeFor[[]Peer]():
		return typePeers
	case t.String() == "time.Duration":
		return "duration"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Bool:
		return typeBool
	case t.Kind() == reflect.Int:
		return "number"
	default:
		return "text"
	}
}
