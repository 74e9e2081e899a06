package stssource_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// BenchmarkHit compares hits of the cache with what bounds them and with the
// source that everybody has; by one goroutine and by up to 64, which share as
// many processors as -cpu says. The limit of the header is one reading of the
// monotonic clock, that of Token the same reading and the caller's copy.
//
// What the copy costs is the garbage collector's business, which runs as often
// as the live heap is small: with next to none, as in a bare benchmark, hundreds
// of times a second, each time on all of the processors that it takes itself to
// have. heap=64MiB is a service.
func BenchmarkHit(b *testing.B) {
	b.Run("heap=none", benchmarkHit)
	ballast := make([]byte, 64<<20)
	b.Run("heap=64MiB", benchmarkHit)
	runtime.KeepAlive(ballast)
}

func benchmarkHit(b *testing.B) {
	src := (&issuer{}).source(b, stssource.Refresh{})
	tok := mustToken(b, src)
	reuse := oauth2.ReuseTokenSource(nil, src)
	start := time.Now()
	for _, goroutines := range []int{1, 2, 8, 64} {
		for _, bb := range []struct {
			name string
			f    func() bool
		}{
			{"limit=time.Since", func() bool { return time.Since(start) > 0 }},
			{"header", func() bool { return stssource.Header(src) != "" }},
			{"limit=time.Since+copy", func() bool { return time.Since(start) > 0 && copyOf(tok) != nil }},
			{"Token", func() bool { t, err := src.Token(); return err == nil && t != nil }},
			{"oauth2.ReuseTokenSource", func() bool { t, err := reuse.Token(); return err == nil && t != nil }},
		} {
			b.Run(fmt.Sprintf("goroutines=%d/%s", goroutines, bb.name), func(b *testing.B) {
				b.ReportAllocs()
				if goroutines == 1 {
					for b.Loop() {
						if !bb.f() {
							b.Fatal("no token")
						}
					}
					return
				}
				b.SetParallelism(max(goroutines/runtime.GOMAXPROCS(0), 1))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if !bb.f() {
							b.Error("no token")
							return
						}
					}
				})
			})
		}
	}
}

// copyOf is not inlined, so that the copy goes to the heap as a caller's does.
//
//go:noinline
func copyOf(t *oauth2.Token) *oauth2.Token {
	c := *t
	return &c
}

// stub answers every request at once.
type stub struct{ resp *http.Response }

func (s stub) RoundTrip(*http.Request) (*http.Response, error) { return s.resp, nil }

// typicalHeader is what a call of a generated Google client has.
var typicalHeader = []string{"User-Agent", "Accept", "Content-Type", "X-Goog-Api-Client", "X-Goog-User-Project", "X-Goog-Request-Params", "Accept-Encoding"}

func BenchmarkRoundTrip(b *testing.B) {
	src := (&issuer{}).source(b, stssource.Refresh{})
	mustToken(b, src)
	base := stub{&http.Response{StatusCode: 200, Body: io.NopCloser(http.NoBody)}}
	for _, bb := range []struct {
		name      string
		transport http.RoundTripper
	}{
		{"Transport", &stssource.Transport{Source: src, Base: base}},
		{"oauth2.Transport", &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, src), Base: base}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			req, _ := http.NewRequest("GET", "https://api.example.com/v1/things", nil)
			for _, name := range typicalHeader {
				req.Header.Set(name, "value")
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bb.transport.RoundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
