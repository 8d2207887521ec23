package scenario

import (
	"math"
	"os"
	"strings"
	"testing"

	"trellis/routing"
	"trellis/routing/check"
)

func mustRead(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("../testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestWorkedExample(t *testing.T) {
	d, err := Parse(mustRead(t, "worked-example.json"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePlan(mustRead(t, "worked-example-plan.json"), d, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := check.Plan(d, p); err != nil {
		t.Fatal(err)
	}
	want := routing.Score{InBound: 130, Served: 135, LateMs: 330, CostUSD: 0.108, DelayMs: 6270}
	for name, got := range map[string]routing.Score{"check": check.Score(d, p), "routing": p.Score(d)} {
		if got.Compare(want) != 0 || math.Abs(got.CostUSD-want.CostUSD) > 1e-12 {
			t.Errorf("%s: score %+v, want %+v", name, got, want)
		}
	}
	out := AppendPlan(nil, d, p)
	again, err := ParsePlan(out, d, false)
	if err != nil {
		t.Fatalf("own plan: %v\n%s", err, out)
	}
	if got := AppendPlan(nil, d, again); string(got) != string(out) {
		t.Errorf("round trip:\n%s\nthen\n%s", out, got)
	}
}

// The compact example of the reference: three arcs worked out by hand.
func TestSiteMatrix(t *testing.T) {
	d, err := Parse([]byte(compact))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to           string
		delay, price float64
	}{{"a2", 1.25, 0.09}, {"b1", 5, 0.02}, {"c2", 37, 0.09}} {
		u, _ := d.Graph.Index("a1")
		v, _ := d.Graph.Index(c.to)
		if a, ok := d.Graph.Arc(u, v); !ok || a.DelayMs != c.delay || a.PricePerGB != c.price {
			t.Errorf("a1 -> %s: %+v, want %g ms at %g", c.to, a, c.delay, c.price)
		}
	}
}

const compact = `{"nodes":[
 {"id":"a1","provider":"p1","region":"lon","proc_ms":0.5,"max_children":3},
 {"id":"a2","provider":"p2","region":"lon"},
 {"id":"b1","provider":"p1","region":"par"},
 {"id":"c2","provider":"p2","region":"nyc"}],
"site_matrix":{"sites":["lon","par","nyc"],"delay_ms":[[0,5,36],[5,null,40],[36,40,0]],
 "intra_ms":0.25,"cross_provider_extra_ms":1,"continent":{"lon":"eu","par":"eu","nyc":"na"},
 "price_same_site":{"p1":0.01},"price_same_continent":{"p1":0.02},
 "price_intercontinental":{"p1":0.08},"price_other_provider":{"p1":0.09}},
"tracks":[{"id":"k","source":"a1","rate_mbps":1,"bound_ms":10,"terminals":[{"node":"b1","viewers":2}]}]}`

func TestParseRejects(t *testing.T) {
	good := `{"nodes":[{"id":"S","max_children":1},{"id":"A"}],
"arcs":[{"from":"S","to":"A","delay_ms":1}],
"tracks":[{"id":"k","source":"S","rate_mbps":1,"bound_ms":5,
"terminals":[{"node":"A","viewers":1}]}]}`
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"id":"A"`, `"id":"S"`, `line 1: nodes[1].id: "S" is already nodes[0]`},
		{`"id":"A"`, `"di":"A"`, `line 1: nodes[1].id: is required`},
		{`"to":"A"`, `"to":"B"`, `line 2: arcs[0].to: names no node ("B")`},
		{`"to":"A"`, `"to":"S"`, `line 2: arcs[0]: is a self loop`},
		{`"delay_ms":1`, `"delay_ms":-1`, `line 2: arcs[0].delay_ms: is negative (-1)`},
		{`"delay_ms":1`, `"delay_ms":1e999`, `line 2: 1e999 is not a finite number`},
		{`"delay_ms":1`, `"delay_ms":NaN`, `line 2: unexpected 'N'`},
		{`"delay_ms":1`, `"delay_ms":"1"`, `line 2: arcs[0].delay_ms: must be a number, not a string`},
		{`"delay_ms":1}`, `"delay_ms":1},{"from":"S","to":"A","delay_ms":2}`, `line 2: arcs[1]: is parallel to arcs[0]`},
		{`"viewers":1`, `"viewers":1.5`, `line 4: tracks[0].terminals[0].viewers: must be a whole number, not 1.5`},
		{`"viewers":1}`, `"viewers":1},{"node":"A","viewers":1}`, `line 4: tracks[0].terminals[1].node: is already terminals[0]`},
		{`"source":"S"`, `"source":"X"`, `line 3: tracks[0].source: names no node ("X")`},
		{`"rate_mbps":1,`, ``, `line 3: tracks[0].rate_mbps: is required`},
		{`"max_children":1`, `"max_children":0.5`, `must be a whole number`},
		{`"arcs":`, `"nodes":`, `field "nodes" occurs twice`},
		{`]}]}`, `]}]`, `line 4: a comma or } is expected`},
		{`]}]}`, `]}]} x`, `line 4: unexpected 'x' after the document`},
	} {
		_, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s -> %s: error %v, want %q", c.old, c.new, err, c.want)
		}
	}
	for _, c := range []struct{ old, new, want string }{
		{`"region":"nyc"`, `"region":"sfo"`, `line 5: site_matrix.sites: lacks region "sfo" of nodes[3]`},
		{`"lon","par","nyc"]`, `"lon","par","par"]`, `is already sites[1]`},
		{`[36,40,0]`, `[36,40]`, `site_matrix.delay_ms[2]: must be an array of 3 numbers`},
		{`[36,40,0]`, `[36,-4,0]`, `site_matrix.delay_ms[2][1]: must be a number that is not negative`},
		{`"tracks"`, `"arcs":[{"from":"a1","to":"a2","delay_ms":1}],"tracks"`, `arcs are parallel`},
	} {
		_, err := Parse([]byte(strings.Replace(compact, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s -> %s: error %v, want %q", c.old, c.new, err, c.want)
		}
	}
}

func TestParsePlanRejects(t *testing.T) {
	d, err := Parse([]byte(compact))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ plan, want string }{
		{`{"tracks":[]}`, `lacks track "k"`},
		{`{"tracks":[{"id":"x","parents":{}}]}`, `names no track`},
		{`{"tracks":[{"id":"k"}]}`, `parents: is required`},
		{`{"tracks":[{"id":"k","parents":{"a1":"b1"}}]}`, `is the source`},
		{`{"tracks":[{"id":"k","parents":{"zz":"b1"}}]}`, `names no node`},
		{`{"tracks":[{"id":"k","parents":{"b1":3}}]}`, `must be a string`},
	} {
		if _, err := ParsePlan([]byte(c.plan), d, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.plan, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mustRead(f, "worked-example.json"))
	f.Add([]byte(compact))
	f.Add([]byte(`{"nodes":[{"id":"\ud83d\ude00\n"}],"tracks":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of several lines: %q", err)
			}
			return
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("accepted, and then: %v", err)
		}
	})
}
