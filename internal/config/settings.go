package config

import (
	"reflect"
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

	section, field int
}

// Key is the setting's name in the file: "section.key".
func (s Setting) Key() string { return s.Section + "." + s.Name }

// Env is the setting's name in the environment.
func (s Setting) Env() string { return envPrefix + strings.ToUpper(s.Section+"_"+s.Name) }

// Flag is the setting's name as a flag, without the dashes in front.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Section+"-"+s.Name, "_", "-") }

// FileOnly reports whether the setting can be given in the file alone.
func (s Setting) FileOnly() bool { return s.Type == typePeers }

// IsBool reports whether the setting is true or false.
func (s Setting) IsBool() bool { return s.Type == typeBool }

// in returns the setting's place in c.
func (s Setting) in(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().Field(s.section).Field(s.field)
}

const (
	typePeers = "nodes"
	typeBool  = "true/false"
)

// Settings returns every setting, in the order of the sections.
func Settings() []Setting {
	var all []Setting
	defaults := Default()
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		section := root.Field(i)
		for j := range section.Type.NumField() {
			field := section.Type.Field(j)
			s := Setting{
				Section: section.Tag.Get("key"), Name: field.Tag.Get("key"), Doc: field.Tag.Get("doc"),
				Type: typeName(field.Type), section: i, field: j,
			}
			s.Default = valueText(s.in(&defaults))
			all = append(all, s)
		}
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
