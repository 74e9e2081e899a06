package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// table is a table of the page. Its first column is text, the others are
// numbers.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t table) write(w *bytes.Buffer) {
	fmt.Fprintf(w, "| %s |\n|---%s|\n", strings.Join(t.head, " | "), strings.Repeat("|--:", len(t.head)-1))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// none is the cell of what was not measured, or cannot be.
const none = "–"

// cell writes a value by f.
func (r results) cell(key, unit string, f func(float64) string) string {
	v, ok := r.get(key, unit)
	if !ok {
		return none
	}
	return f(v)
}

// against is cell with the ratio to another's value behind it.
func (r results) against(key, other, unit string, f func(float64) string) string {
	ratio, ok := r.ratio(key, other, unit)
	if !ok || key == other {
		return r.cell(key, unit, f)
	}
	return fmt.Sprintf("%s (%s)", r.cell(key, unit, f), times(ratio))
}

// ratio returns the median of the ratios within each pass: what slows a whole
// pass down falls out of it.
func (r results) ratio(key, other, unit string) (float64, bool) {
	a, b := r[key][unit], r[other][unit]
	ratios := make(results)
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			ratios.set("ratio", "x", a[i]/b[i])
		}
	}
	return ratios.get("ratio", "x")
}

func (r results) set(key, unit string, v float64) {
	if r[key] == nil {
		r[key] = make(map[string][]float64)
	}
	r[key][unit] = append(r[key][unit], v)
}

func times(v float64) string { return fmt.Sprintf("%.2fx", v) }

// nanos writes a time given in nanoseconds in a unit that suits it.
func nanos(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}} {
		if math.Abs(v) >= u.size {
			return digits(v/u.size) + " " + u.name
		}
	}
	return digits(v) + " ns"
}

// digits writes v with three digits, or more if there are more before the point.
func digits(v float64) string {
	switch {
	case math.Abs(v) >= 100 || v == math.Trunc(v):
		return whole(v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// whole writes v as an integer, with commas.
func whole(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
