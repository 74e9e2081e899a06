package main

import "fmt"

// section is one part of the page.
type section struct {
	name, title string
	runs        []gotest
	text        string // what is measured, and how
	tables      func(results) []table
	note        string // what the reader should know of the numbers
}

// names are those that the page has for the contenders of the benchmarks.
var names = map[string]string{
	"sts":                    "**stssource**",
	"sts/static":             "**stssource**, no file",
	"oauth2":                 "x/oauth2 `ReuseTokenSource`",
	"oauth2/externalaccount": "x/oauth2 `externalaccount`",
	"cloud":                  "cloud auth `CachedTokenProvider`",
	"cloud/externalaccount":  "cloud auth `externalaccount`",
	"aws":                    "AWS `CredentialsCache`",
	"azcore":                 "azcore `BearerTokenPolicy`",
	"azidentity":             "azidentity `WorkloadIdentityCredential`",
	"bare":                   "bare POST",
	"bare+file":              "bare POST, file read and form made each time",
	"limit":                  "nothing (the machine's own latency)",
	"limit/atomic_load":      "limit: atomic load",
	"limit/time.Since":       "limit: `time.Since`",
	copyLimit:                "limit: `time.Since` and a copy of the token",
	"limit/time.Now":         "limit: `time.Now`",
	"stub_alone":             "the stub alone",
}

// copyLimit is the least that a source can cost which gives each caller a token
// of its own.
const copyLimit = "limit/time.Since_and_a_copy"

var cacheNames = []string{"sts", "oauth2", "cloud", "aws", "azcore"}

func sections(curves string) []section {
	return []section{hitSection(), exchangeSection(), roundTripSection(), herdSection(curves), daySection(), memorySection(), constructSection()}
}

func bench(label, pattern, benchtime string, more ...string) gotest {
	return gotest{label: label, args: append([]string{"-run", "^$", "-bench", pattern, "-benchtime", benchtime}, more...)}
}

func hitSection() section {
	header := bench("header", "Hit/heap=none/.*/^(limit=time.Since|header)$", "100ms", "-cpu", "2")
	header.root = true
	return section{
		name:  "hit",
		title: "A token that is there",
		text: "What a call costs while the token is valid, in nanoseconds, by the number of goroutines that ask at the same time, on two processors. " +
			"In brackets the ratio to `ReuseTokenSource`.",
		runs: []gotest{
			bench("hit", "Hit/heap=none", "100ms", "-cpu", "2"),
			bench("hit", "Hit/heap=64MiB/goroutines=(1|64)$/^(limit|sts|oauth2|cloud|aws)$", "100ms", "-cpu", "2"),
			bench("hit64", "Hit/.*/goroutines=64$/^(limit|sts|oauth2|cloud|aws)$", "100ms", "-cpu", "64"),
			header,
		},
		tables: hitTables,
		note: "`Token` hands each caller a copy, 112 bytes, since `ReuseTokenSource` writes into the tokens that it is given. The collector of that garbage runs as often as the live heap is small: " +
			"with next to none, as in a bare benchmark, hundreds of times a second; the rows with 64 MiB are a service. " +
			"The header is what `Transport` uses, which needs no copy; it cannot be had from outside, and is measured by the library's own benchmark. " +
			"`CredentialsCache` is lock-free as well, and hands out its value in the caller's frame. azidentity looks its token up under a mutex, in a cache for many accounts.",
	}
}

func hitTables(r results) []table {
	t := table{head: []string{"", "1", "2", "8", "64", "allocations"}}
	for _, name := range []string{"limit/atomic_load", "limit/time.Since", "limit/time.Now", copyLimit, "sts", "oauth2", "cloud", "aws", "azidentity"} {
		row := []string{names[name]}
		for _, n := range []int{1, 2, 8, 64} {
			at := fmt.Sprintf("hit:Hit/heap=none/goroutines=%d/", n)
			if name[:3] == "lim" && name != copyLimit {
				row = append(row, r.cell(at+name, "ns/op", digits))
				continue
			}
			row = append(row, r.against(at+name, at+"oauth2", "ns/op", digits))
		}
		t.add(append(row, r.cell("hit:Hit/heap=none/goroutines=1/"+name, "allocs/op", whole))...)
	}
	return []table{headerTable(r), t, heapTable(r)}
}

func headerTable(r results) table {
	t := table{head: []string{"the header, of the library's own benchmark", "1", "2", "8", "64", "allocations"}}
	for _, name := range []string{"limit=time.Since", "header"} {
		row := []string{map[string]string{"header": "**stssource**, the header (ratio to `time.Since`)"}[name]}
		if row[0] == "" {
			row[0] = names["limit/time.Since"]
		}
		for _, n := range []int{1, 2, 8, 64} {
			at := fmt.Sprintf("header:Hit/heap=none/goroutines=%d/", n)
			row = append(row, r.against(at+name, at+"limit=time.Since", "ns/op", digits))
		}
		t.add(append(row, r.cell("header:Hit/heap=none/goroutines=1/"+name, "allocs/op", whole))...)
	}
	return t
}

// heapTable shows what the size of the heap and the number of processors make of
// the copy that Token returns.
func heapTable(r results) table {
	t := table{head: []string{"by live heap and GOMAXPROCS", "64 MiB, 2: 1", "64 MiB, 2: 64", "none, 64: 64", "64 MiB, 64: 64"}}
	columns := []string{"hit:Hit/heap=64MiB/goroutines=1/", "hit:Hit/heap=64MiB/goroutines=64/", "hit64:Hit/heap=none/goroutines=64/", "hit64:Hit/heap=64MiB/goroutines=64/"}
	for _, name := range []string{copyLimit, "sts", "oauth2", "cloud", "aws"} {
		row := []string{names[name]}
		for _, at := range columns {
			row = append(row, r.against(at+name, at+"oauth2", "ns/op", digits))
		}
		t.add(row...)
	}
	return t
}

func exchangeSection() section {
	return section{
		name:  "exchange",
		title: "One exchange",
		text: "Over loopback, on a kept connection, HTTP/1.1; the subject token, a JWT of a kilobyte, is in a file. The service is a loop that allocates nothing, so that allocations are the client's. " +
			"Bytes are those on the connection, of TLS too. In brackets the ratio to the bare POST, which sends the same form.",
		runs:   []gotest{bench("exchange", "Exchange", "200ms")},
		tables: exchangeTables,
		note: "Each call makes an exchange: ours after `Invalidate`; the others' because the answer's 5 seconds are less than their margins, cloud auth's with `DisableAsyncRefresh`. " +
			"Ours runs it on a goroutine of its own, under a deadline, so that a caller can leave; that is in the number. " +
			"azidentity speaks another protocol (the file's token is its client assertion), refuses plain http, and keeps what it read of the file for ten minutes.",
	}
}

func exchangeTables(r results) []table {
	var tables []table
	for _, over := range []string{"plain", "TLS"} {
		t := table{head: []string{over, "time", "allocations", "bytes allocated", "sent", "received"}}
		for _, name := range []string{"bare", "bare+file", "sts", "sts/static", "oauth2/externalaccount", "cloud/externalaccount", "azidentity"} {
			at := "exchange:Exchange/" + over + "/"
			if _, ok := r.get(at+name, "ns/op"); !ok {
				continue
			}
			t.add(names[name],
				r.against(at+name, at+"bare", "ns/op", nanos),
				r.against(at+name, at+"bare", "allocs/op", whole),
				r.cell(at+name, "B/op", whole),
				r.cell(at+name, "B-sent/op", whole),
				r.cell(at+name, "B-received/op", whole))
		}
		tables = append(tables, t)
	}
	return tables
}

func roundTripSection() section {
	return section{
		name:  "roundtrip",
		title: "A request",
		text:  "A request with seven header fields, authorized and handed to a transport that answers at once. In brackets the ratio to `oauth2.Transport`.",
		runs:  []gotest{bench("roundtrip", "RoundTrip", "100ms", "-cpu", "2")},
		tables: func(r results) []table {
			t := table{head: []string{"", "time", "allocations", "bytes allocated"}}
			for _, name := range []string{"stub_alone", "sts", "oauth2", "cloud"} {
				at := "roundtrip:RoundTrip/"
				title := map[string]string{"sts": "**`stssource.Transport`**", "oauth2": "`oauth2.Transport`", "cloud": "cloud auth `httptransport`"}[name]
				if title == "" {
					t.add(names[name], r.cell(at+name, "ns/op", nanos), r.cell(at+name, "allocs/op", whole), r.cell(at+name, "B/op", whole))
					continue
				}
				t.add(title, r.against(at+name, at+"oauth2", "ns/op", nanos), r.cell(at+name, "allocs/op", whole), r.cell(at+name, "B/op", whole))
			}
			return []table{t}
		},
		note: "`oauth2.Transport` and `httptransport` copy the header with all its values. Ours copies the map and shares the values' slices, which no transport may change.",
	}
}

func memorySection() section {
	return section{
		name:  "memory",
		title: "Many sources",
		text:  "100,000 sources (of azidentity 2,000) that share one HTTP client and all strings of their configuration, each with a file as the subject, one audience, one scope, and a token of 30 bytes that it was given: what each keeps on the heap.",
		runs:  []gotest{{label: "memory", once: true, args: []string{"-run", "^$", "-bench", "Memory", "-benchtime", "1x"}}},
		tables: func(r results) []table {
			t := table{head: []string{"", "heap of a source", "goroutines"}}
			for _, name := range []string{"sts", "oauth2/externalaccount", "cloud/externalaccount", "azidentity"} {
				at := "memory:Memory/"
				t.add(names[name], r.against(at+name, at+"oauth2/externalaccount", "B/source", bytesOf), r.cell(at+name, "goroutines/source", digits))
			}
			return []table{t}
		},
		note: "Ours has a timer, which the others do not: it is what renews a token that nobody asks for at the right moment. It also has a copy of its configuration, and the further members of the answer, for `Token.Extra`, which tokens share where they are the same. Without an HTTP client all of our sources share one; cloud auth then makes one for each, with its own connections.",
	}
}

func bytesOf(v float64) string { return whole(v) + " B" }

func constructSection() section {
	return section{
		name:  "construct",
		title: "Making a source",
		text:  "What a constructor costs; none of them asks anybody.",
		runs:  []gotest{bench("construct", "Construct", "50ms", "-cpu", "2")},
		tables: func(r results) []table {
			t := table{head: []string{"", "time", "allocations", "bytes allocated"}}
			for _, name := range []string{"sts", "oauth2/externalaccount", "cloud/externalaccount", "azidentity"} {
				addCosts(&t, names[name], "construct:Construct/"+name, r)
			}
			for _, name := range cacheNames {
				title := names[name]
				if name == "sts" {
					title += " `NewFromFunc`"
				}
				addCosts(&t, "the cache alone: "+title, "construct:Construct/cache/"+name, r)
			}
			return []table{t}
		},
		note: "Ours checks its whole configuration at once, the URL among it, which the peers do at the first exchange or not at all.",
	}
}

func addCosts(t *table, title, key string, r results) {
	t.add(title, r.cell(key, "ns/op", nanos), r.cell(key, "allocs/op", whole), r.cell(key, "B/op", whole))
}
