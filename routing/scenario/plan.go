package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"

	"trellis/routing"
)

// AppendPlan appends the plan as JSON, with a track per line and children in
// the graph's order, so that the same plan is the same bytes and a diff reads well.
func AppendPlan(b []byte, d *routing.Demand, p *routing.Plan) []byte {
	b = append(b, "{\n"...)
	if d.Name != "" {
		b = append(b, `  "instance": `...)
		b = appendString(b, d.Name)
		b = append(b, ",\n"...)
	}
	b = append(b, `  "tracks": [`...)
	for i := range p.Tracks {
		if i > 0 {
			b = append(b, ',')
		}
		t := &p.Tracks[i]
		b = append(b, "\n    {\"id\": "...)
		b = appendString(b, t.ID)
		b = append(b, `, "parents": `...)
		b = appendTree(b, d.Graph, t.Tree)
		if t.Backup.Parent != nil {
			b = append(b, `, "backup": `...)
			b = appendTree(b, d.Graph, t.Backup)
		}
		b = append(b, '}')
	}
	return append(b, "\n  ]\n}\n"...)
}

func appendTree(b []byte, g *routing.Graph, t routing.Tree) []byte {
	b = append(b, '{')
	first := true
	for v, p := range t.Parent {
		if p == routing.None {
			continue
		}
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = appendString(b, g.Node(v).ID)
		b = append(b, ": "...)
		b = appendString(b, g.Node(int(p)).ID)
	}
	return append(b, '}')
}

// appendString leaves <, > and & as they are, which json.Marshal would not.
func appendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// ParsePlan reads a plan made for the demand. It checks that names are known
// and every track has one entry; package check judges the trees. With
// allowUnknown, arcs of nodes that the graph no longer has are left out: a
// running plan may be older than the graph.
func ParsePlan(b []byte, d *routing.Demand, allowUnknown bool) (*routing.Plan, error) {
	root, err := parseJSON(b)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	o := object{v: root, err: &err}
	if root.kind != kindObject {
		o.fail(root.line, "", "must be an object, not %s", root.kind)
	}
	at := map[string]int{}
	p := &routing.Plan{Tracks: make([]routing.TrackPlan, len(d.Tracks))}
	for i := range d.Tracks {
		at[d.Tracks[i].ID] = i
		p.Tracks[i] = routing.TrackPlan{ID: d.Tracks[i].ID, Tree: routing.NewTree(d.Graph.Len())}
	}
	seen := map[string]bool{}
	o.list("tracks", true, func(_ int, o object) {
		id := o.text("id", true)
		i, known := at[id]
		switch {
		case seen[id]:
			o.fail(o.v.line, "id", "%q occurs twice", id)
			return
		case !known && !allowUnknown:
			o.fail(o.v.line, "id", "names no track (%q)", id)
			return
		case !known:
			return
		}
		seen[id] = true
		if c, has := o.child("parents", true); has {
			p.Tracks[i].Tree = readTree(c, d, i, allowUnknown)
		}
		if c, has := o.child("backup", false); has {
			p.Tracks[i].Backup = readTree(c, d, i, allowUnknown)
		}
	})
	for i := range d.Tracks {
		if !seen[d.Tracks[i].ID] && !allowUnknown {
			o.fail(root.line, "tracks", "lacks track %q", d.Tracks[i].ID)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return p, nil
}

func readTree(o object, d *routing.Demand, track int, allowUnknown bool) routing.Tree {
	t := routing.NewTree(d.Graph.Len())
	for j, child := range o.v.keys {
		item := o.v.items[j]
		if item.kind != kindString {
			o.fail(item.line, child, "must be a string, not %s", item.kind)
			return t
		}
		v, ok := d.Graph.Index(child)
		u, ok2 := d.Graph.Index(item.str)
		if !ok || !ok2 {
			if allowUnknown {
				continue
			}
			o.fail(item.line, child, "names no node")
			return t
		}
		if v == d.Tracks[track].Source && !allowUnknown {
			o.fail(item.line, child, "is the source and cannot have a parent")
			return t
		}
		if v != d.Tracks[track].Source {
			t.Parent[v] = int32(u)
		}
	}
	return t
}
