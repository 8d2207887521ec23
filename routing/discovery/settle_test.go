package discovery

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func node(id string) Node { return Node{ID: id, Region: "r", Addr: id + ":1"} }

func nodes(ids string) []Node {
	var list []Node
	for id := range strings.FieldsSeq(ids) {
		list = append(list, node(id))
	}
	return list
}

func ids(list []Node) string {
	var all []string
	for _, n := range list {
		all = append(all, n.ID)
	}
	return strings.Join(all, " ")
}

// lives reads "a b/heard": a is linked, b is heard of.
func lives(text string) map[string]Life {
	m := map[string]Life{}
	for f := range strings.FieldsSeq(text) {
		if id, ok := strings.CutSuffix(f, "/heard"); ok {
			m[id] = Heard
		} else {
			m[f] = Linked
		}
	}
	return m
}

func TestSettle(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	for _, tc := range []struct {
		name, before, answer, life string
		partial                    bool
		after                      time.Duration // settled again so much later
		want                       string
		refused                    Reason
		unlisted                   string
	}{
		{name: "the first list", answer: "a b", want: "a b"},
		{name: "one more", before: "a self", answer: "a b self", want: "a b self"},
		{name: "nobody, all linked", before: "a b c self", life: "a b c", want: "a b c self", refused: ReasonEmpty, unlisted: "a b c"},
		{name: "nobody, all silent, for ever", before: "a b c self", after: time.Hour, want: "a b c self", refused: ReasonEmpty, unlisted: "a b c"},
		{name: "nobody, and nobody known", before: "self", answer: "", want: "self"},
		{name: "only itself, others linked", before: "a b c self", answer: "self", life: "a b c", want: "a b c self", refused: ReasonPanic, unlisted: "a b c"},
		{name: "only itself, one heard of", before: "a b c self", answer: "self", life: "b/heard", after: time.Hour, want: "a b c self", refused: ReasonPanic, unlisted: "a b c"},
		{name: "only itself, all silent", before: "a b c self", answer: "self", want: "a b c self", unlisted: "a b c"},
		{name: "only itself, all silent for long", before: "a b c self", answer: "self", after: forgetAfter, want: "self"},
		{name: "all silent, not yet for long", before: "a b c self", answer: "self", after: forgetAfter - 1, want: "a b c self", unlisted: "a b c"},
		{name: "most, one of them linked", before: "a b c d", answer: "a", life: "d", after: time.Hour, want: "a b c d", refused: ReasonPanic, unlisted: "b c d"},
		{name: "just half, linked", before: "a b c d self", answer: "a b self", life: "a b c d", want: "a b c d self", unlisted: "c d"},
		{name: "just half, one linked, for long", before: "a b c d self", answer: "a b self", life: "c", after: forgetAfter, want: "a b c self", unlisted: "c"},
		{name: "the only peer, linked", before: "a self", answer: "self", life: "a", after: time.Hour, want: "a self", refused: ReasonPanic, unlisted: "a"},
		{name: "most go while one comes", before: "a b c", answer: "d", life: "a", want: "a b c d", refused: ReasonPanic, unlisted: "a b c"},
		{name: "a part of the cluster, all silent, for long", before: "a b c d", answer: "a", partial: true, after: time.Hour, want: "a b c d", unlisted: "b c d"},
		{name: "no part has answered", before: "a b c d", partial: true, after: time.Hour, want: "a b c d", unlisted: "a b c d"},
	} {
		r := roll{self: "self", nodes: nodes(tc.before)}
		answer := Snapshot{Nodes: nodes(tc.answer), Partial: tc.partial}
		out := r.settle(answer, lives(tc.life), start)
		if tc.after > 0 {
			out = r.settle(answer, lives(tc.life), start.Add(tc.after))
		}
		if got := ids(r.nodes); got != tc.want || out.refused != tc.refused || strings.Join(out.unlisted, " ") != tc.unlisted {
			t.Errorf("%s: nodes %q, refused %q, unlisted %q; want %q, %q, %q", tc.name, got, out.refused, out.unlisted, tc.want, tc.refused, tc.unlisted)
		}
	}
}

// TestSettleLifeReturns: a peer that shows life in between is not counted as
// silent from before.
func TestSettleLifeReturns(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	r := roll{self: "self", nodes: nodes("a b c")}
	answer := Snapshot{Nodes: nodes("a b")}
	r.settle(answer, nil, start)
	r.settle(answer, lives("c"), start.Add(forgetAfter/2))
	r.settle(answer, nil, start.Add(forgetAfter))
	if got := ids(r.nodes); got != "a b c" {
		t.Errorf("%q: c was silent for half of the time only", got)
	}
	r.settle(answer, nil, start.Add(2*forgetAfter))
	if got := ids(r.nodes); got != "a b" {
		t.Errorf("%q: c has been silent for all of the time", got)
	}
}

// TestSettleMoved: another address of a linked peer waits until the link has ended.
func TestSettleMoved(t *testing.T) {
	r := roll{self: "self", nodes: nodes("a b self")}
	moved := nodes("a b self")
	for i := range moved {
		moved[i].Addr = "elsewhere:2"
	}
	out := r.settle(Snapshot{Nodes: moved}, lives("a b/heard"), time.Now())
	if !slices.Equal(out.held, []string{"a"}) || r.nodes[0].Addr != "a:1" || r.nodes[1].Addr != "elsewhere:2" || r.nodes[2].Addr != "elsewhere:2" {
		t.Errorf("held %v, nodes %+v: want a held only", out.held, r.nodes)
	}
	if out = r.settle(Snapshot{Nodes: moved}, nil, time.Now()); len(out.held) > 0 || r.nodes[0].Addr != "elsewhere:2" {
		t.Errorf("held %v, %+v: want a moved, for its link has ended", out.held, r.nodes[0])
	}
}
