package backbone

import (
	"fmt"
	"strings"

	"trellis/routing/control"
	"trellis/wire"
)

// DefaultProtect is the protection of a track by its kind: sound, data and the
// catalog are small, and are taken twice.
func DefaultProtect(_ wire.TrackName, kind wire.Kind) control.Protection {
	if kind == wire.KindVideo {
		return control.ProtectWarm
	}
	return control.ProtectHot
}

// ProtectRules give tracks their protection by name, and else by kind.
type ProtectRules struct {
	// ByName are looked at in order. A name fits a broadcast, a track, or all below
	// it, by whole parts.
	ByName []ProtectRule
	// ByKind is for all others; DefaultProtect for kinds that are missing.
	ByKind map[wire.Kind]control.Protection
}

// ProtectRule is the protection of what has a name.
type ProtectRule struct {
	Name  string
	Grade control.Protection
}

// grades are the words for what an operator may ask for.
var grades = map[string]control.Protection{
	"none": control.ProtectNone, "warm": control.ProtectWarm, "hot": control.ProtectHot,
}

// By adds a rule for a name, in words: none, warm or hot.
func (r *ProtectRules) By(name, word string) error {
	grade, ok := grades[word]
	if !ok {
		return fmt.Errorf("protection %q of %s: none, warm or hot", word, name)
	}
	r.ByName = append(r.ByName, ProtectRule{Name: name, Grade: grade})
	return nil
}

// Of sets the protection of kinds, in words.
func (r *ProtectRules) Of(word string, kinds ...wire.Kind) error {
	grade, ok := grades[word]
	if !ok {
		return fmt.Errorf("protection %q: none, warm or hot", word)
	}
	if r.ByKind == nil {
		r.ByKind = map[wire.Kind]control.Protection{}
	}
	for _, kind := range kinds {
		r.ByKind[kind] = grade
	}
	return nil
}

// Protect is a Config.Protect.
func (r *ProtectRules) Protect(name wire.TrackName, kind wire.Kind) control.Protection {
	full := string(name.Broadcast) + "/" + name.Track
	for _, rule := range r.ByName {
		if rest, ok := strings.CutPrefix(full, rule.Name); ok && (rest == "" || rest[0] == '/') {
			return rule.Grade
		}
	}
	if grade, ok := r.ByKind[kind]; ok {
		return grade
	}
	return DefaultProtect(name, kind)
}
