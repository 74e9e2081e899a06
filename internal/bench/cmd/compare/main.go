// Compare measures the library beside its peers and writes what came of it:
// RESULTS.md, and latency.svg for the picture in it.
//
//	go run ./cmd/compare
//
// It runs the benchmarks of the module that it is in, one pass after another, so
// that a change of the machine's mood meets all contenders alike, and takes the
// medians. Run it in that module's directory, on a machine with nothing else to
// do; it takes about seven minutes on two cores.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/go-sts/sts/internal/bench/busy"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("compare: ")
	passes := flag.Int("passes", 5, "how often each of the short benchmarks is run")
	only := flag.String("only", "", "a regular expression for the names of the sections to run; all if empty")
	out := flag.String("out", ".", "the directory for RESULTS.md and latency.svg")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := compare(ctx, *passes, *only, *out); err != nil {
		log.Fatal(err)
	}
}

func compare(ctx context.Context, passes int, only, out string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	b, err := build(ctx, dir)
	if err != nil {
		return err
	}
	log.Printf("%3.0f s: built", time.Since(begin).Seconds())
	var chosen []section
	for _, s := range sections(filepath.Join(dir, "curves")) {
		if wanted.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	others := busy.Watch()
	r, err := measure(ctx, b, chosen, passes, func(what string) {
		log.Printf("%3.0f s: %s", time.Since(begin).Seconds(), what)
	})
	if err != nil {
		return err
	}
	share, known := others()
	curves, err := readCurves(filepath.Join(dir, "curves"))
	if err != nil {
		return err
	}
	if len(curves) > 0 {
		if err := os.WriteFile(filepath.Join(out, "latency.svg"), picture(curves, r), 0o666); err != nil {
			return err
		}
	}
	m, err := describeMachine(ctx)
	if err != nil {
		return err
	}
	if known {
		m.others = fmt.Sprintf("Other processes took %s of the machine meanwhile.", percent(100*share))
		log.Print(m.others)
	}
	page := report(m, passes, chosen, r)
	if err := os.WriteFile(filepath.Join(out, "RESULTS.md"), page, 0o666); err != nil {
		return err
	}
	log.Printf("%3.0f s: wrote %s", time.Since(begin).Seconds(), filepath.Join(out, "RESULTS.md"))
	return nil
}

// measure runs the sections: those that are repeated in passes over all of them,
// and then the others.
func measure(ctx context.Context, b binaries, chosen []section, passes int, progress func(string)) (results, error) {
	r := make(results)
	for pass := range passes {
		progress(fmt.Sprintf("pass %d of %d", pass+1, passes))
		for _, s := range chosen {
			for _, g := range s.runs {
				if g.once {
					continue
				}
				if err := b.run(ctx, g, r); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, s := range chosen {
		for _, g := range s.runs {
			if !g.once {
				continue
			}
			progress(g.line())
			if err := b.run(ctx, g, r); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}
