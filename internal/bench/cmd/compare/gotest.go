package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gotest is one run of go test.
type gotest struct {
	label string   // under which its results are kept
	root  bool     // of package stssource in the root module, not of this one
	once  bool     // takes long: not in each pass
	args  []string // as go test takes them
	extra []string // further ones that are of no interest to a reader
}

// line is what a reader types to have this run alone.
func (g gotest) line() string {
	words := []string{"go", "test"}
	for _, a := range g.args {
		if strings.ContainsAny(a, "^$|()* ") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	if g.root {
		return strings.Join(append(words, "./stssource"), " ") + "   # in the root of the repository"
	}
	return strings.Join(append(words, "."), " ")
}

// ownFlags are those of the packages that are tested. All others are go test's.
var ownFlags = []string{"-curves", "-sources"}

// binaryArgs are the arguments of g for a test binary.
func (g gotest) binaryArgs() []string {
	args := append(slices.Clone(g.args), g.extra...)
	for i, a := range args {
		if strings.HasPrefix(a, "-") && !slices.Contains(ownFlags, a) {
			args[i] = "-test." + a[1:]
		}
	}
	return args
}

// binaries are the tests that are run, compiled once.
type binaries struct{ bench, root string }

func build(ctx context.Context, dir string) (binaries, error) {
	b := binaries{filepath.Join(dir, "bench.test"), filepath.Join(dir, "stssource.test")}
	root, err := output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-sts/sts")
	if err != nil {
		return b, err
	}
	if _, err := output(ctx, ".", "go", "test", "-c", "-o", b.bench, "github.com/go-sts/sts/internal/bench"); err != nil {
		return b, err
	}
	_, err = output(ctx, strings.TrimSpace(string(root)), "go", "test", "-c", "-o", b.root, "./stssource")
	return b, err
}

// run runs g and adds what it printed to r.
func (b binaries) run(ctx context.Context, g gotest, r results) error {
	binary := b.bench
	if g.root {
		binary = b.root
	}
	out, err := output(ctx, filepath.Dir(binary), binary, g.binaryArgs()...)
	if err != nil {
		return err
	}
	return r.read(g.label, out)
}

func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &out, &diagnostics)
	}
	return out.Bytes(), nil
}

// results are the values that were printed, one for each pass, by label and name
// of the benchmark, and then by unit.
type results map[string]map[string][]float64

var (
	procs = regexp.MustCompile(`-\d+$`) // GOMAXPROCS, at the end of a benchmark's name
	day   = regexp.MustCompile(`^=== ATTR  Test(\S+) day (\d+) calls, (\d+) waited, (\d+) exchanges`)
)

// read adds the lines of out that tell of a benchmark, or of a day.
func (r results) read(label string, out []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if m := day.FindStringSubmatch(lines.Text()); m != nil {
			for i, unit := range []string{"calls", "waited", "exchanges"} {
				if err := r.add(label, m[1], unit, m[i+2]); err != nil {
					return err
				}
			}
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := procs.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		for i := 2; i+1 < len(fields); i += 2 {
			if err := r.add(label, name, fields[i+1], fields[i]); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (r results) add(label, name, unit, value string) error {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", unit, name, err)
	}
	key := label + ":" + name
	if r[key] == nil {
		r[key] = make(map[string][]float64)
	}
	r[key][unit] = append(r[key][unit], v)
	return nil
}

// get returns the median of a value over the passes; false if there is none.
func (r results) get(key, unit string) (float64, bool) {
	values := slices.Sorted(slices.Values(r[key][unit]))
	n := len(values)
	if n == 0 {
		return 0, false
	}
	return (values[(n-1)/2] + values[n/2]) / 2, true
}
