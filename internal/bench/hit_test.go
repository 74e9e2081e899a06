package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// hit is something that is called for each request of a program, many at a time.
type hit struct {
	name string
	call func() bool
}

// limits are what a cache cannot be faster than, whatever it does: to load a
// pointer, to know how much time has passed, and, if it hands out tokens that
// callers may write into, to copy one.
func limits() []hit {
	var pointer atomic.Pointer[int]
	pointer.Store(new(int))
	start := time.Now()
	tok := &oauth2.Token{AccessToken: "access-token", TokenType: "Bearer", Expiry: start.Add(time.Hour)}
	return []hit{
		{"limit/atomic load", func() bool { return pointer.Load() != nil }},
		{"limit/time.Since", func() bool { return time.Since(start) > 0 }},
		{"limit/time.Since and a copy", func() bool { return time.Since(start) > 0 && copyOf(tok) != nil }},
		{"limit/time.Now", func() bool { return !time.Now().IsZero() }},
	}
}

// copyOf is not inlined, so that the copy goes to the heap as a caller's does.
//
//go:noinline
func copyOf(t *oauth2.Token) *oauth2.Token {
	c := *t
	return &c
}

// hits are the contenders with a token that lives for an hour. azidentity's is
// its own cache; azcore's is not among them, since it cannot be had but with a
// request around it.
func hits(tb testing.TB) []hit {
	var all []hit
	add := func(name string, token tokenFunc) {
		call := func() bool { t, err := token(context.Background()); return err == nil && t != "" }
		if !call() {
			tb.Fatalf("%s: no token", name)
		}
		all = append(all, hit{name, call})
	}
	for _, c := range caches {
		if c.name != "azcore" {
			add(c.name, c.new(forAnHour, 0))
		}
	}
	w := memoryWorld(tb)
	add("azidentity", must(tb, func() (tokenFunc, error) { return newWorkloadIdentity(w) }))
	return all
}

// BenchmarkHit asks for a token that is there, from several goroutines at a
// time. With heap=none the garbage that the caller's copy becomes is collected
// hundreds of times a second, as in every program with next to nothing on its
// heap; heap=64MiB is a service.
func BenchmarkHit(b *testing.B) {
	b.Run("heap=none", benchmarkHit)
	ballast := make([]byte, 64<<20)
	growHeap()
	b.Run("heap=64MiB", benchmarkHit)
	runtime.KeepAlive(ballast)
}

// growHeap has the heap reach the size at which it is collected, several times:
// whoever comes first would pay for the system's pages.
func growHeap() {
	for range 2 << 20 {
		garbage = new([128]byte)
	}
}

var garbage *[128]byte

func benchmarkHit(b *testing.B) {
	all := append(limits(), hits(b)...)
	for _, goroutines := range []int{1, 2, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			for _, h := range all {
				b.Run(h.name, func(b *testing.B) {
					b.ReportAllocs()
					inParallel(b, goroutines, h.call)
				})
			}
		})
	}
}

// inParallel makes b.N calls, shared among goroutines.
func inParallel(b *testing.B, goroutines int, call func() bool) {
	var wg sync.WaitGroup
	for i := range goroutines {
		n := (b.N + i) / goroutines // adds up to b.N
		wg.Go(func() {
			for range n {
				if !call() {
					b.Error("no token")
					return
				}
			}
		})
	}
	wg.Wait()
}
