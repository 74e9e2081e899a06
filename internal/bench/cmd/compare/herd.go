package main

import (
	"fmt"
	"time"
)

func herdSection(curves string) section {
	return section{
		name:  "herd",
		title: "A thousand callers",
		text: "1,000 goroutines, each of which asks every 10 ms for 10 s, tokens that live for 2 s, exchanges that take 300 ms, refusals (503) that take 20 ms. " +
			"A call is blocked if it takes more than 10 ms. The last column is the share of the machine that other processes took meanwhile: where it is high, latency is theirs. Tokens are renewed half a second before their end where that can be set; ours is left at its default.\n\n" +
			"![Latency over time, for each cache and scenario](latency.svg)",
		runs: []gotest{{label: "herd", once: true,
			args:  []string{"-run", "^$", "-bench", "Herd", "-benchtime", "1x", "-cpu", "2"},
			extra: []string{"-curves", curves}}},
		tables: herdTables,
		note: "x/oauth2's and cloud auth's callers wait for a mutex, one exchange after another; with the service down, most of the 1,000 have made one or two calls when the 10 s are over, and nearly all are still in the queue then. " +
			"AWS shares one attempt among those who wait, and starts the next one at once. azcore does not renew within 30 s of its last attempt, and so with these tokens at their end only; its row has a whole pipeline for requests in it. " +
			"Ours retries within the exchange that callers wait for, for up to a minute: in the outage those who come between the end of the token and that of the outage wait, and get a token; with the service down they get the error, and further callers the same one at once for a while. " +
			"Where nobody is blocked, what is left in the milliseconds is, for ours, the collector, which has callers help with the garbage that their copies become (with `GOGC=off` its p99.9 is below 0.1 ms), and for all the machine. " +
			"As long as the service is well, cloud auth's cached provider lets nobody wait either.",
	}
}

// scenarios are told in full in the tables, and in short in the picture.
var scenarios = []struct{ name, title, short string }{
	{"healthy", "the service is well", "The service is well"},
	{"outage", "503 from 0.6 s before the first end to 0.4 s after it", "An outage of 1 s around an expiry"},
	{"down", "503 from the start, no token", "The service is down"},
	{"defaults", "the service is well, margins left at their defaults", ""},
}

func herdTables(r results) []table {
	var tables []table
	for _, sc := range scenarios {
		t := table{head: []string{sc.title, "calls", "blocked", "p50", "p99", "p99.9", "longest", "errors", "exchanges", "failed requests", "others"}}
		contenders := cacheNames
		if sc.name == "healthy" {
			contenders = append([]string{"limit"}, contenders...)
		}
		for _, name := range contenders {
			key := "herd:Herd/" + sc.name + "/" + name
			if _, ok := r.get(key, "calls"); !ok {
				continue
			}
			exchanges := r.cell(key, "exchanges", whole)
			if ideal, ok := r.get(key, "ideal"); ok {
				exchanges += fmt.Sprintf(" (ideal %s)", whole(ideal))
			}
			t.add(names[name], r.cell(key, "calls", whole), r.cell(key, "blocked", whole),
				r.cell(key, "p50-ns", nanos), r.cell(key, "p99-ns", nanos), r.cell(key, "p99.9-ns", nanos), r.cell(key, "max-ns", nanos),
				r.cell(key, "errors", whole), exchanges, r.cell(key, "failed-requests", whole), r.cell(key, "others-%", percent))
		}
		tables = append(tables, t)
	}
	return tables
}

func percent(v float64) string { return whole(v) + " %" }

var intervals = []time.Duration{time.Second, time.Minute, 7 * time.Minute, 13 * time.Minute, 31 * time.Minute}

func daySection() section {
	return section{
		name:   "day",
		title:  "A day of sparse callers",
		text:   "One caller that asks every so often, for a day of a fake clock; tokens live for an hour, an exchange takes 300 ms. How many calls waited, of the exchanges that were made.",
		runs:   []gotest{{label: "day", once: true, args: []string{"-run", "TestDay", "-v"}}},
		tables: dayTables,
		note: "Ours renews by a timer if the token was used since it came, which costs two or three exchanges more in a day, and a timer for each source. " +
			"Cloud auth renews ahead only if somebody asks within the last 225 s of a token.",
	}
}

func dayTables(r results) []table {
	t := table{head: []string{"a call every"}}
	for _, every := range intervals {
		t.head = append(t.head, short(every))
	}
	for _, name := range cacheNames {
		row := []string{names[name]}
		for _, every := range intervals {
			key := fmt.Sprintf("day:Day/every=%v/%s", every, name)
			row = append(row, r.cell(key, "waited", whole)+" of "+r.cell(key, "exchanges", whole))
		}
		t.add(row...)
	}
	return []table{t}
}

// short writes a whole number of minutes, or of seconds.
func short(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
