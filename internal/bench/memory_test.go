package bench

import (
	"flag"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

var (
	sourceCount = flag.Int("sources", 100_000, "how many sources BenchmarkMemory makes; azidentity gets a fiftieth")
	heapProfile = flag.String("heapprofile", "", "the file into which BenchmarkMemory writes a profile of what it keeps")
)

// BenchmarkMemory makes many sources that share one HTTP client, has each get a
// token, and tells what one keeps. Run it with -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	w := memoryWorld(b)
	for _, s := range sources {
		n := *sourceCount
		if s.name == "azidentity" {
			n = max(n/50, 1) // tens of kilobytes each
		}
		b.Run(s.name, func(b *testing.B) {
			for range b.N {
				u := measure(b, n, func() tokenFunc { return must(b, func() (tokenFunc, error) { return s.new(w) }) })
				b.ReportMetric(u.bytes, "B/source")
				b.ReportMetric(u.goroutines, "goroutines/source")
			}
			b.ReportMetric(0, "ns/op") // of no meaning here
		})
	}
}

func memoryWorld(tb testing.TB) world {
	return world{
		tokenURL: "https://sts.example.com/v1/token",
		client:   &http.Client{Transport: stubService{answer(shortToken, time.Hour)}},
		file:     subjectFile(tb),
	}
}

// usage is what one source keeps.
type usage struct{ bytes, goroutines float64 }

func measure(tb testing.TB, n int, source func() tokenFunc) usage {
	kept := make([]tokenFunc, n)
	heap, goroutines := settled()
	for i := range kept {
		kept[i] = source()
		if token, err := kept[i](tb.Context()); err != nil || token != shortToken {
			tb.Fatalf("token %q, error %v", token, err)
		}
	}
	heapAfter, goroutinesAfter := settled()
	writeHeapProfile(tb)
	runtime.KeepAlive(kept)
	return usage{
		bytes:      float64(heapAfter-heap) / float64(n),
		goroutines: float64(goroutinesAfter-goroutines) / float64(n),
	}
}

// writeHeapProfile writes what is kept now, if that was asked for.
func writeHeapProfile(tb testing.TB) {
	if *heapProfile == "" {
		return
	}
	f := must(tb, func() (*os.File, error) { return os.Create(*heapProfile) })
	defer f.Close()
	if err := pprof.WriteHeapProfile(f); err != nil {
		tb.Fatal(err)
	}
}

// settled returns the live heap and the goroutines once what is no longer needed
// is gone. Twice, since what is in a sync.Pool survives one collection.
func settled() (heap, goroutines int64) {
	time.Sleep(100 * time.Millisecond) // goroutines that have delivered their result end
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(runtime.NumGoroutine())
}
