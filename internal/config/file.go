package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pathKeys are the settings that name files.
func pathKeys() []string {
	return []string{
		"node.state_dir", "web.cert", "web.key", "cluster.cert", "cluster.key", "cluster.ca",
		"discovery.file", "discovery.snapshot_file", "discovery.consul.token_file", "discovery.consul.ca_file",
		"discovery.consul.cert_file", "discovery.consul.key_file", "auth.keys",
		"livekit.keys",
	}
}

// yamlLine finds the line in the parser's messages: "yaml: line 3: ...".
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// file reads one file, and reports whether it has the form of a configuration.
func (l *loader) file(name string, data []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return true // empty, or comments only: all defaults
	} else if err != nil {
		l.syntax(name, err)
		return false
	}
	f := &fileReader{loader: l, name: name}
	switch err := dec.Decode(&more); {
	case err == nil:
		l.problem(f.at(&more), "", fault{`a second document after "---"`, "keep one"})
	case !errors.Is(err, io.EOF):
		l.syntax(name, err)
	}
	top := dealias(doc.Content[0])
	for section, value := range f.members(top, "", sectionNames()) {
		l.sections[section] = f.at(value)
		f.section(section, value)
	}
	return top.Kind == yaml.MappingNode || isNull(top)
}

func (l *loader) syntax(name string, err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		l.problem(name, "", fault{err.Error(), ""})
		return
	}
	where := name
	if line, err := strconv.Atoi(m[1]); err == nil {
		// The parser counts from 0 where its scanner counts from 1.
		if strings.HasPrefix(m[2], "did not find expected") {
			line++
		}
		where += ":" + strconv.Itoa(line)
	}
	fix := "check the indentation and the colons around this line"
	if strings.Contains(m[2], "cannot start any token") {
		fix = "indent with spaces, not with tabs, and quote text that begins with a special character"
	}
	l.problem(where, "", fault{"not YAML: " + m[2], fix})
}

// fileReader walks the nodes of one file.
type fileReader struct {
	*loader
	name string
}

func (f *fileReader) at(n *yaml.Node) string { return f.name + ":" + strconv.Itoa(n.Line) }

// members yields the entries of a mapping whose keys are known, and reports
// the others.
func (f *fileReader) members(n *yaml.Node, parent string, known []string) func(func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		n := dealias(n)
		if isNull(n) {
			return
		}
		if n.Kind != yaml.MappingNode {
			f.problem(f.at(n), parent, fault{"is " + describe(n) + ", not a group of keys", "write its keys below it, indented: " + strings.Join(known[:min(3, len(known))], ", ")})
			return
		}
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			full := strings.TrimPrefix(parent+"."+key.Value, ".")
			switch line, twice := seen[key.Value]; {
			case twice:
				f.problem(f.at(key), full, fault{fmt.Sprintf("given twice, before in line %d", line), "keep one"})
			case !slices.Contains(known, key.Value):
				f.problem(f.at(key), full, fault{"unknown key", f.hint(key.Value, parent, known)})
			default:
				seen[key.Value] = key.Line
				if !yield(key.Value, value) {
					return
				}
			}
		}
	}
}

// hint says what an unknown key may have been meant to be.
func (f *fileReader) hint(key, parent string, known []string) string {
	if key == "<<" {
		return "merge keys are not supported: write the keys out"
	}
	if s := suggest(key, known); s != "" {
		return s
	}
	for _, s := range Settings() {
		if s.Name == key && s.Section != parent {
			return fmt.Sprintf("it belongs under %q", s.Section)
		}
	}
	return "known here: " + strings.Join(known, ", ")
}

func (f *fileReader) section(section string, n *yaml.Node) {
	var known, within []string
	for _, s := range Settings() {
		if s.Section == section {
			known = append(known, s.Name)
		} else if inner, ok := strings.CutPrefix(s.Section, section+"."); ok && !slices.Contains(within, inner) {
			within = append(within, inner)
		}
	}
	for name, value := range f.members(n, section, append(known, within...)) {
		if slices.Contains(within, name) {
			f.section(section+"."+name, value)
			continue
		}
		f.setting(f.byKey[section+"."+name], dealias(value))
	}
}

func (f *fileReader) setting(s Setting, n *yaml.Node) {
	switch {
	case isNull(n): // "key:" with nothing behind it leaves the default
	case s.Type == typePeers:
		f.loaded.Origins[s.Key()] = f.at(n)
		f.loaded.Discovery.Peers = f.peers(n)
	case s.Type == "list" && n.Kind == yaml.SequenceNode:
		var items []string
		for _, item := range n.Content {
			item = dealias(item)
			if item.Kind != yaml.ScalarNode || isNull(item) {
				f.problem(f.at(item), s.Key(), fault{"an entry is " + describe(item) + ", not text", ""})
				return
			}
			items = append(items, item.Value)
		}
		s.in(&f.loaded.Config).Set(reflect.ValueOf(items))
		f.loaded.Origins[s.Key()] = f.at(n)
	case n.Kind != yaml.ScalarNode:
		f.problem(f.at(n), s.Key(), fault{"is " + describe(n) + ", not a " + s.Type, "write its value behind the colon"})
	case s.Type == "text" && (n.ShortTag() == "!!bool" || n.ShortTag() == "!!float"):
		// `id: 1.10` would be read as 1.1 elsewhere: ask for what is meant.
		f.problem(f.at(n), s.Key(), fault{n.Value + " is not text", fmt.Sprintf("put it in quotes: %q", n.Value)})
	default:
		value := n.Value
		if slices.Contains(pathKeys(), s.Key()) {
			value = resolve(f.name, value)
		}
		f.set(s, value, f.at(n))
	}
}

// peersKey names the list of nodes in messages, wherever it stands.
const peersKey = "discovery.peers"

func (f *fileReader) peers(n *yaml.Node) []Peer {
	if n.Kind != yaml.SequenceNode {
		f.problem(f.at(n), peersKey, fault{"is " + describe(n) + ", not a list", "begin each node with a dash: - id: eu-west-1"})
		return nil
	}
	known := []string{"id", "region", "provider", "addr"}
	peers := make([]Peer, len(n.Content))
	for i, item := range n.Content {
		key := fmt.Sprintf("%s[%d]", peersKey, i)
		f.loaded.Origins[key] = f.at(item)
		target := reflect.ValueOf(&peers[i]).Elem()
		for name, value := range f.members(item, key, known) {
			value = dealias(value)
			if value.Kind != yaml.ScalarNode {
				f.problem(f.at(value), key+"."+name, fault{"is " + describe(value) + ", not text", ""})
				continue
			}
			f.loaded.Origins[key+"."+name] = f.at(value)
			target.Field(slices.Index(known, name)).SetString(value.Value)
		}
	}
	return peers
}

// peersFile reads the file that discovery.file names, to check what is in it.
// The node reads it by itself, again and again.
func (l *loader) peersFile(name string, data []byte) []Peer {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		l.syntax(name, err)
		return nil
	}
	if len(doc.Content) == 0 {
		return nil
	}
	f := &fileReader{loader: l, name: name}
	var peers []Peer
	for _, value := range f.members(doc.Content[0], "", []string{"peers"}) {
		if value = dealias(value); !isNull(value) {
			peers = f.peers(value)
		}
	}
	return peers
}

func sectionNames() []string {
	var names []string
	for _, s := range Settings() {
		section, _, _ := strings.Cut(s.Section, ".")
		if !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	return names
}

// dealias follows an alias to what it stands for, which is never another alias.
// We look at a fixed depth only, so one that contains itself does no harm.
func dealias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a group of keys"
	case isNull(n):
		return "empty"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}
