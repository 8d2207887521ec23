package edges

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

var (
	frankfurt = &Point{50.1, 8.7}
	virginia  = &Point{39.0, -77.5}
	singapore = &Point{1.35, 103.8}
)

// world is three nodes, with the delays that are measured between them.
func world() Question {
	between := map[string]time.Duration{"de us": 45 * ms, "de sg": 80 * ms, "sg us": 110 * ms}
	delay := func(a, b string) (time.Duration, bool) {
		if a == b {
			return 0, true
		}
		d, ok := between[min(a, b)+" "+max(a, b)]
		return d, ok
	}
	return Question{
		Self: "de",
		Nodes: []Node{
			{ID: "de", Region: "eu", URL: "https://de", Place: frankfurt},
			{ID: "us", Region: "us", URL: "https://us", Place: virginia},
			{ID: "sg", Region: "ap", URL: "https://sg", Place: singapore},
		},
		Between: delay,
		Tree:    func(n string) (time.Duration, bool) { return delay("us", n) },
	}
}

func order(all []Edge) string {
	var s []string
	for _, e := range all {
		s = append(s, e.Node+":"+string(e.Reason))
	}
	return strings.Join(s, " ")
}

func nodeOf(q *Question, id string) *Node {
	for i := range q.Nodes {
		if q.Nodes[i].ID == id {
			return &q.Nodes[i]
		}
	}
	panic(id)
}

func TestRank(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Question)
		want   string
	}{
		// From us 0, 45 to de, 110 to sg; the client is at de: 45, 0, 80.
		"nothing told":               {func(*Question) {}, "de:best us:equal sg:delay"},
		"nothing told, no broadcast": {func(q *Question) { q.Tree = nil }, "de:best us:delay sg:delay"},
		"a place":                    {func(q *Question) { q.Client.Place = &Point{1, 104} }, "sg:best us:delay de:delay"},
		"measured beats place": {func(q *Question) {
			q.Client = Client{Place: &Point{1, 104}, RTT: map[string]time.Duration{"us": 10 * ms}}
		}, "us:best de:delay sg:delay"},
		"measured at one":        {func(q *Question) { q.Client.RTT = map[string]time.Duration{"us": 10 * ms} }, "us:best de:delay sg:delay"},
		"measured at a stranger": {func(q *Question) { q.Client.RTT = map[string]time.Duration{"xx": 10 * ms} }, "de:best sg:equal us:equal"},
		"draining":               {func(q *Question) { nodeOf(q, "de").Draining = true }, "us:best sg:delay de:state"},
		"all states": {func(q *Question) {
			nodeOf(q, "de").Draining = true
			nodeOf(q, "us").Overloaded = true
			nodeOf(q, "sg").MaxViewers = 0
			nodeOf(q, "sg").EgressMbps = 10
			nodeOf(q, "sg").UsedMbps = 11
		}, "sg:best us:state de:state"},
		"full":        {func(q *Question) { nodeOf(q, "de").MaxViewers, nodeOf(q, "de").Viewers = 10, 10 }, "us:best sg:delay de:state"},
		"nearly full": {func(q *Question) { nodeOf(q, "de").MaxViewers, nodeOf(q, "de").Viewers = 10, 9 }, "us:best de:load sg:delay"},
		"half full":   {func(q *Question) { nodeOf(q, "us").MaxViewers, nodeOf(q, "us").Viewers = 10, 7 }, "de:best us:equal sg:delay"},
		"dear":        {func(q *Question) { nodeOf(q, "de").PriceUSD = 0.12 }, "us:best de:price sg:delay"},
		"dear, but so much nearer": {func(q *Question) {
			nodeOf(q, "us").PriceUSD = 0.12
			q.Client.RTT = map[string]time.Duration{"us": 10 * ms}
		}, "us:best de:delay sg:delay"},
		"no way from the origin":       {func(q *Question) { q.Tree = func(n string) (time.Duration, bool) { return 10 * ms, n != "de" } }, "us:best sg:delay de:no_way_from_origin"},
		"a node without a known place": {func(q *Question) { q.Client.Place = frankfurt; nodeOf(q, "us").Place = nil }, "de:best sg:delay us:delay_unknown"},
	} {
		q := world()
		tc.change(&q)
		if got := order(Rank(q)); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

// The numbers are there, add up, and say where they come from.
func TestRankExplains(t *testing.T) {
	q := world()
	q.Client = Client{Place: &Point{52.5, 13.4}, RTT: map[string]time.Duration{"de": 14 * ms}}
	nodeOf(&q, "us").MaxViewers, nodeOf(&q, "us").Viewers, nodeOf(&q, "us").PriceUSD = 100, 85, 0.05
	all := Rank(q)
	de, us := all[0], all[1]
	if de.Node != "de" || *de.TreeMs != 45 || *de.AccessMs != 7 || de.AccessFrom != Measured || *de.ExpectedMs != 52 || *de.ScoreMs != 52 || de.Utilisation != nil {
		t.Errorf("%+v", de)
	}
	if us.Node != "us" || *us.TreeMs != 0 || *us.AccessMs != 52 || us.AccessFrom != ViaNode || *us.Utilisation != 0.85 ||
		math.Abs(us.LoadMs-25) > 1e-9 || us.PriceMs != 5 || math.Abs(*us.ScoreMs-82) > 1e-9 {
		t.Errorf("%+v", us)
	}
	q.Client.RTT = nil
	// Berlin to Frankfurt is 424 km: 3.5 ms of fibre, and the last mile.
	if de := Rank(q)[0]; de.AccessFrom != Distance || math.Abs(*de.AccessMs-11.0) > 0.2 {
		t.Errorf("Berlin to Frankfurt: %v ms by %s", *de.AccessMs, de.AccessFrom)
	}
}

func TestGreatCircle(t *testing.T) {
	for _, tc := range []struct {
		a, b Point
		km   float64
	}{
		{Point{51.5, -0.1}, Point{-33.9, 151.2}, 16_990},
		{Point{0, 179}, Point{0, -179}, 222},
		{Point{90, 0}, Point{-90, 77}, 20_015},
		{*frankfurt, *frankfurt, 0},
	} {
		if got := greatCircleKm(tc.a, tc.b); math.Abs(got-tc.km) > 0.005*tc.km+1 {
			t.Errorf("%v to %v: %.0f km, want %.0f", tc.a, tc.b, got, tc.km)
		}
	}
}

func TestBetter(t *testing.T) {
	for name, tc := range map[string]struct {
		client Client
		change func(*Question)
		want   string
	}{
		"nothing told":       {Client{}, func(*Question) {}, ""},
		"far away":           {Client{Place: &Point{38, -77}}, func(*Question) {}, "us"},
		"the best is here":   {Client{RTT: map[string]time.Duration{"de": 4 * ms}}, func(q *Question) { q.Tree = nil }, ""},
		"19 ms better":       {Client{RTT: map[string]time.Duration{"de": 60 * ms, "us": 22 * ms}}, func(q *Question) { q.Tree = nil }, ""},
		"21 ms better":       {Client{RTT: map[string]time.Duration{"de": 62 * ms, "us": 20 * ms}}, func(q *Question) { q.Tree = nil }, "us"},
		"21 ms of a hundred": {Client{RTT: map[string]time.Duration{"de": 200 * ms, "us": 158 * ms}}, func(q *Question) { q.Tree = nil }, ""},
		"better, but draining": {Client{RTT: map[string]time.Duration{"de": 200 * ms, "us": 10 * ms, "sg": 400 * ms}}, func(q *Question) {
			q.Tree, nodeOf(q, "us").Draining = nil, true
		}, ""},
		"better, but nobody knows how to reach it": {Client{RTT: map[string]time.Duration{"de": 200 * ms, "us": 10 * ms}}, func(q *Question) {
			q.Tree, nodeOf(q, "us").URL = nil, ""
		}, ""},
	} {
		q := world()
		q.Client = tc.client
		tc.change(&q)
		got, ok := Better(Rank(q), "de", tc.client)
		if ok != (tc.want != "") || got.Node != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got.Node, ok, tc.want)
		}
	}
}

// Clients that have to leave are spread over the nodes near by, by the room there
// is, and go first where they need not move again.
func TestOther(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q := Question{Self: "a", Between: func(a, b string) (time.Duration, bool) {
		if b == "far" {
			return 100 * ms, true
		}
		return 5 * ms, true
	}}
	for _, id := range []string{"a", "b", "c", "d", "far"} {
		q.Nodes = append(q.Nodes, Node{ID: id, URL: "https://" + id, Boot: now.Add(-time.Hour), MaxViewers: 100})
	}
	nodeOf(&q, "a").Draining = true
	nodeOf(&q, "d").Viewers = 50
	count := func() map[string]int {
		n := map[string]int{}
		ranked := Rank(q)
		for i := range 2500 {
			if e, ok := Other(ranked, "a", fmt.Sprint("10.0.0.1:", i), now); ok {
				n[e.Node]++
			}
		}
		return n
	}
	within := func(got, want int) bool { return math.Abs(float64(got-want)) < 0.15*float64(want) }
	if n := count(); !within(n["b"], 1000) || !within(n["c"], 1000) || !within(n["d"], 500) || len(n) != 3 {
		t.Errorf("spread as %v, want 1000 1000 500", n)
	}
	nodeOf(&q, "c").Boot = now.Add(-time.Minute)
	if n := count(); n["c"] != 2500 {
		t.Errorf("spread as %v, want all at c, which was restarted", n)
	}
	nodeOf(&q, "c").Draining = true
	if n := count(); n["c"] != 0 || !within(n["b"], 1667) {
		t.Errorf("spread as %v, want none at c, which drains", n)
	}
	for _, id := range []string{"b", "d"} {
		nodeOf(&q, id).URL = ""
	}
	if n := count(); n["far"] != 2500 {
		t.Errorf("spread as %v, want all at the only one left", n)
	}
	nodeOf(&q, "far").Overloaded = true
	if n := count(); len(n) != 0 {
		t.Errorf("spread as %v, want nowhere", n)
	}
}

func TestParseClient(t *testing.T) {
	for query, ok := range map[string]bool{
		"":                                  true,
		"lat=50.1&lon=8.7":                  true,
		"lat=-90&lon=-180":                  true,
		"lat=90.1&lon=0":                    false,
		"lat=1":                             false,
		"lat=NaN&lon=1":                     false,
		"lat=x&lon=1":                       false,
		"rtt=a:12,b:40.5":                   true,
		"rtt=a:12, b:40.5":                  true,
		"rtt=a:-1":                          false,
		"rtt=a:1e9":                         false,
		"rtt=a:NaN":                         false,
		"rtt=a":                             false,
		"rtt=:5":                            false,
		"rtt=a:1,":                          false,
		"rtt=" + strings.Repeat("a:1,", 64): false,
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := ParseClient(v); (err == nil) != ok {
			t.Errorf("%q: %+v, %v", query, c, err)
		}
	}
	c, err := ParseClient(url.Values{"rtt": {"a:12,b:40.5"}, "lat": {"1"}, "lon": {"2"}})
	if err != nil || c.RTT["b"] != 40500*time.Microsecond || *c.Place != (Point{1, 2}) {
		t.Errorf("%+v, %v", c, err)
	}
}
