package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Protect says how tracks that enter here survive the loss of a node or a link.
type Protect struct {
	Video string   `key:"video" doc:"video: none, warm (a backup stands by) or hot (taken twice, over two disjoint ways)"`
	Audio string   `key:"audio" doc:"sound, in the same words"`
	Data  string   `key:"data" doc:"data and catalogs, in the same words"`
	Rules []string `key:"rules" doc:"NAME=GRADE for a broadcast, all below a path, or one track: room/vip=hot, lobby=none, room/bob/video/hd=hot; the longest name that fits wins"`
}

var grades = []string{"none", "warm", "hot"}

// ProtectRule is one of Protect.Rules.
type ProtectRule struct {
	Name  string // of a broadcast or a track, or the beginning of one, by whole parts
	Grade string
}

// ParseRules reads Protect.Rules, the longest name first.
func (p Protect) ParseRules() ([]ProtectRule, error) {
	var all []ProtectRule
	for _, text := range p.Rules {
		name, grade, found := strings.Cut(text, "=")
		r := ProtectRule{Name: strings.Trim(strings.TrimSpace(name), "/"), Grade: strings.TrimSpace(grade)}
		if !found || r.Name == "" || !slices.Contains(grades, r.Grade) {
			return nil, fmt.Errorf("%q is not NAME=GRADE", text)
		}
		if slices.ContainsFunc(all, func(o ProtectRule) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("%q has two rules", r.Name)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b ProtectRule) int {
		return cmp.Or(cmp.Compare(len(b.Name), len(a.Name)), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func (l *loader) checkProtect(p Protect) {
	l.oneOf("protect.video", p.Video, grades...)
	l.oneOf("protect.audio", p.Audio, grades...)
	l.oneOf("protect.data", p.Data, grades...)
	if _, err := p.ParseRules(); err != nil {
		l.wrong("protect.rules", err.Error(), "write a name and one of none, warm, hot, such as room/vip=hot")
	}
}
