package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const printed = `goos: linux
BenchmarkHit/heap=none/goroutines=1/sts-2   	 1000000	       80.0 ns/op	     112 B/op	       1 allocs/op
BenchmarkHit/heap=none/goroutines=1/sts-2   	 1000000	       60.0 ns/op	     112 B/op	       1 allocs/op
BenchmarkHit/heap=none/goroutines=1/oauth2 	 1000000	       40.0 ns/op
=== ATTR  TestDay/every=31m0s/oauth2 day 47 calls, 24 waited, 23 exchanges
--- PASS: TestDay (1.70s)
PASS
`

func TestRead(t *testing.T) {
	got := make(results)
	if err := got.read("hit", []byte(printed)); err != nil {
		t.Fatal(err)
	}
	want := results{
		"hit:Hit/heap=none/goroutines=1/sts":    {"ns/op": {80, 60}, "B/op": {112, 112}, "allocs/op": {1, 1}},
		"hit:Hit/heap=none/goroutines=1/oauth2": {"ns/op": {40}},
		"hit:Day/every=31m0s/oauth2":            {"calls": {47}, "waited": {24}, "exchanges": {23}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read mismatch (-want +got):\n%s", diff)
	}
}

func TestMedians(t *testing.T) {
	r := results{
		"odd":  {"ns/op": {9, 1, 5}},
		"even": {"ns/op": {4, 1, 2, 100}},
		"half": {"ns/op": {18, 2, 20}}, // ratios 2, 2, 4
	}
	for _, tt := range []struct {
		key  string
		want float64
	}{{"odd", 5}, {"even", 3}} {
		if got, ok := r.get(tt.key, "ns/op"); !ok || got != tt.want {
			t.Errorf("%s: median %v, want %v", tt.key, got, tt.want)
		}
	}
	if got, ok := r.ratio("half", "odd", "ns/op"); !ok || got != 2 {
		t.Errorf("ratio %v, want 2: that of the passes, not of the medians", got)
	}
	if _, ok := r.get("absent", "ns/op"); ok {
		t.Error("a median of nothing")
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		got, want string
	}{
		{nanos(2.4567), "2.46 ns"},
		{nanos(312), "312 ns"},
		{nanos(25432), "25.4 us"},
		{nanos(300_400_000), "300 ms"},
		{nanos(1e10), "10 s"},
		{whole(1234567), "1,234,567"},
		{whole(-1234), "-1,234"},
		{whole(999), "999"},
		{digits(0), "0"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestLine(t *testing.T) {
	g := gotest{args: []string{"-run", "^$", "-bench", "Herd", "-sources", "5"}, extra: []string{"-curves", "/tmp/x"}}
	if got, want := g.line(), `go test -run '^$' -bench Herd -sources 5 .`; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	want := []string{"-test.run", "^$", "-test.bench", "Herd", "-sources", "5", "-curves", "/tmp/x"}
	if diff := cmp.Diff(want, g.binaryArgs()); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestGoals(t *testing.T) {
	r := make(results)
	for _, name := range []string{"bare", "sts/static"} {
		r.set("exchange:Exchange/TLS/"+name, "allocs/op", 100)
		r.set("exchange:Exchange/TLS/"+name, "ns/op", map[string]float64{"bare": 100, "sts/static": 111}[name])
	}
	verdicts := map[string]string{}
	for _, row := range goalTable(r).rows {
		verdicts[row[0]] = row[2] + " " + row[3]
	}
	for what, want := range map[string]string{
		"one exchange over TLS, against a bare POST": "1.11x **no**",
		"allocations of that, against a bare POST":   "1.00x yes",
		"callers blocked over 5 renewals":            none + " " + none,
	} {
		if verdicts[what] != want {
			t.Errorf("%s: %q, want %q", what, verdicts[what], want)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/page.md anew")

// The page of made-up numbers.
func TestPage(t *testing.T) {
	m := machine{cpu: "A processor", system: "linux/amd64", goVersion: "go1.26.8", processors: 2, others: "Other processes took 3 % of the machine meanwhile.", modules: []string{"golang.org/x/oauth2 v0.37.0"}, date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	r := make(results)
	for i, name := range []string{"sts", "oauth2/externalaccount", "cloud/externalaccount", "azidentity"} {
		r.set("memory:Memory/"+name, "B/source", float64(1000*(i+1)))
		r.set("memory:Memory/"+name, "goroutines/source", 0)
	}
	got := report(m, 5, []section{memorySection()}, r)
	golden := filepath.Join("testdata", "page.md")
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("page (-want +got), or run with -update:\n%s", diff)
	}
}

func TestPicture(t *testing.T) {
	var curves []curve
	r := make(results)
	for _, sc := range scenarios[:3] {
		for _, name := range cacheNames {
			curves = append(curves, curve{sc.name, name, time.Second, []time.Duration{0, time.Hour, time.Millisecond}, []int{0, 7, 0}})
			r.set("herd:Herd/"+sc.name+"/"+name, "blocked", 1234)
		}
	}
	svg := picture(curves, r)
	elements := map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				elements[e.Name.Local+"."+a.Value]++
			}
		}
	}
	for element, want := range map[string]int{"g.ours": 3, "g.peer": 12, "path.line": 15, "tspan.bad": 15} {
		if elements[element] != want {
			t.Errorf("%d of %s, want %d", elements[element], element, want)
		}
	}
	if text := string(svg); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || !strings.Contains(text, "1,234 blocked") {
		t.Error("a number is missing or is none")
	}
}

// Every benchmark that a table names is there, here and in package stssource:
// each is run once, and no cell of its table may be left empty.
func TestSectionsNameBenchmarks(t *testing.T) {
	b, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections(filepath.Join(t.TempDir(), "curves")) {
		t.Run(s.name, func(t *testing.T) {
			r := make(results)
			for _, g := range s.runs {
				if g.label == "herd" {
					t.Skip("takes three minutes")
				}
				g.extra = append(g.extra, "-benchtime", "1x")
				if g.label == "memory" {
					g.extra = append(g.extra, "-sources", "100")
				}
				if err := b.run(t.Context(), g, r); err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range s.tables(r) {
				for _, row := range table.rows {
					if strings.Contains(fmt.Sprint(row), none) {
						t.Errorf("not all was measured: %q", row)
					}
				}
			}
		})
	}
}
