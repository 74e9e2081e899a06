package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine is what the numbers depend on, besides the code.
type machine struct {
	cpu, system, goVersion string
	processors             int
	others                 string   // what else the machine did
	modules                []string // with their versions
	date                   time.Time
}

// peers are the modules whose versions are told.
var peers = []string{
	"golang.org/x/oauth2",
	"cloud.google.com/go/auth",
	"github.com/aws/aws-sdk-go-v2",
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity",
	"github.com/Azure/azure-sdk-for-go/sdk/azcore",
}

func describeMachine(ctx context.Context) (machine, error) {
	m := machine{
		cpu:        cpuModel(),
		system:     runtime.GOOS + "/" + runtime.GOARCH,
		goVersion:  runtime.Version(),
		processors: runtime.NumCPU(),
		date:       time.Now(),
	}
	list, err := output(ctx, ".", "go", append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, peers...)...)
	m.modules = strings.Split(strings.TrimSpace(string(list)), "\n")
	return m, err
}

// cpuModel returns what the system says of its processor, where it says so in a
// file.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// report writes the page.
func report(m machine, passes int, chosen []section, r results) []byte {
	w := new(bytes.Buffer)
	fmt.Fprintf(w, "# Measured beside the peers\n\n")
	fmt.Fprintf(w, "%s, %d processors, %s, %s, %s.\n", m.cpu, m.processors, m.system, m.goVersion, m.date.Format("2 January 2006"))
	fmt.Fprintf(w, "%s.\n%s\n\n", strings.Join(m.modules, ", "), m.others)
	fmt.Fprintf(w, "All of it is written by one command, in `internal/bench`:\n\n    go run ./cmd/compare\n\n")
	fmt.Fprintf(w, "Times are medians, ratios medians of the ratios within a pass; passes: %d, in each of which all contenders have their turn. Every row is a benchmark: the line below its table runs it.\n\n", passes)
	fmt.Fprintf(w, "## Goals\n\n")
	goalTable(r).write(w)
	fmt.Fprintf(w, "\n%s\n", goalNote)
	for _, s := range chosen {
		fmt.Fprintf(w, "\n## %s\n\n%s\n", s.title, s.text)
		for _, t := range s.tables(r) {
			fmt.Fprintln(w)
			t.write(w)
		}
		if s.note != "" {
			fmt.Fprintf(w, "\n%s\n", s.note)
		}
		fmt.Fprintln(w)
		for _, g := range s.runs {
			fmt.Fprintf(w, "    %s\n", g.line())
		}
	}
	return w.Bytes()
}

// goalNote is what profiles say of the goals that are hard to reach:
//
//	go test -run '^$' -bench 'Hit/heap=64MiB/goroutines=1$/^sts$' -cpuprofile x.cpu .
//	go test -run '^$' -bench 'Exchange/TLS/(bare|sts/static)$' -cpu 1 -cpuprofile x.cpu .
const goalNote = "Profiles of 25 November 2026, on an AMD EPYC, say what is hard. Where `Token` is beyond its goal, so are the caller's copy and one reading of the clock by themselves: they are a limit in the tables of the next section. `ReuseTokenSource`, which hands out its pointer, pays for a mutex and two readings of the clock in their place; which of the two is less differs from one machine to the next, and with it the ratio. An exchange takes a quarter longer than the same POST, about 25 us on the processor: 9 for a goroutine of its own under a deadline, which a caller can leave and a panic cannot pass; 7 for the limit of a single request, most of it the context's; 6 for that goroutine's stack to grow; 4 to see when the subject token ends; the rest for the further members of the answer. None of it can be had for less without giving up what it is for."

// goal is a number to reach.
type goal struct {
	what, reach string
	measured    func(results) (value float64, ok bool)
	most        float64 // the value may be at most this
	show        func(float64) string
}

func goals() []goal {
	ratio := func(a, b, unit string) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.ratio(a, b, unit) }
	}
	value := func(key, unit string) func(results) (float64, bool) {
		return func(r results) (float64, bool) { return r.get(key, unit) }
	}
	const one, many = "hit:Hit/heap=none/goroutines=1/", "hit:Hit/heap=none/goroutines=64/"
	const header, tls, trip = "header:Hit/heap=none/goroutines=1/", "exchange:Exchange/TLS/", "roundtrip:RoundTrip/"
	all := []goal{
		{"header, 1 goroutine, against `time.Since`", "1.2x", ratio(header+"header", header+"limit=time.Since", "ns/op"), 1.2, times},
		{"allocations of that", "0", value(header+"header", "allocs/op"), 0, whole},
		{"`Token`, 1 goroutine, against `ReuseTokenSource`", "1.0x", ratio(one+"sts", one+"oauth2", "ns/op"), 1, times},
		{"the same beside a live heap of 64 MiB", "1.0x", ratio("hit:Hit/heap=64MiB/goroutines=1/sts", "hit:Hit/heap=64MiB/goroutines=1/oauth2", "ns/op"), 1, times},
		{"allocations of that", "1", value(one+"sts", "allocs/op"), 1, whole},
		{"`Token`, 64 goroutines on 2 processors, against `ReuseTokenSource`", "0.5x", ratio(many+"sts", many+"oauth2", "ns/op"), 0.5, times},
		{"`RoundTrip` against `oauth2.Transport`", "0.45x", ratio(trip+"sts", trip+"oauth2", "ns/op"), 0.45, times},
		{"allocations of that", "3", value(trip+"sts", "allocs/op"), 3, whole},
		{"one exchange over TLS, against a bare POST", "1.10x", ratio(tls+"sts/static", tls+"bare", "ns/op"), 1.1, times},
		{"allocations of that, against a bare POST", "1.3x", ratio(tls+"sts/static", tls+"bare", "allocs/op"), 1.3, times},
		{"one that reads a file, against a bare POST that does", "1.10x", ratio(tls+"sts", tls+"bare+file", "ns/op"), 1.1, times},
		{"allocations of that, against a bare POST that reads a file", "1.3x", ratio(tls+"sts", tls+"bare+file", "allocs/op"), 1.3, times},
		{"callers blocked over 5 renewals", "0", value("herd:Herd/healthy/sts", "blocked"), 0, whole},
		{"exchanges beyond the ideal there", "0", func(r results) (float64, bool) {
			n, ok := r.get("herd:Herd/healthy/sts", "exchanges")
			ideal, _ := r.get("herd:Herd/healthy/sts", "ideal")
			return n - ideal, ok
		}, 0, whole},
		{"requests to a service that is down, 1,000 callers, 10 s", "10", value("herd:Herd/down/sts", "exchanges"), 10, whole},
		{"errors of an outage around an end", "0", value("herd:Herd/outage/sts", "errors"), 0, whole},
		{"failed requests of it", "6", value("herd:Herd/outage/sts", "failed-requests"), 6, whole},
	}
	for _, every := range intervals[2:] {
		all = append(all, goal{"callers that wait in a day of a call every " + short(every), "1", value(fmt.Sprintf("day:Day/every=%v/sts", every), "waited"), 1, whole})
	}
	return append(all,
		goal{"heap of a source of 100,000", "1,000 B", value("memory:Memory/sts", "B/source"), 1000, bytesOf},
		goal{"goroutines of a source", "0", value("memory:Memory/sts", "goroutines/source"), 0.001, whole},
	)
}

func goalTable(r results) table {
	t := table{head: []string{"", "at most", "measured", "reached"}}
	for _, g := range goals() {
		v, ok := g.measured(r)
		switch {
		case !ok:
			t.add(g.what, g.reach, none, none)
		case v <= g.most:
			t.add(g.what, g.reach, g.show(v), "yes")
		default:
			t.add(g.what, g.reach, g.show(v), "**no**")
		}
	}
	return t
}
