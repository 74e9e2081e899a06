package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"
)

// curve is one run of the herd over time, as the benchmark writes it.
type curve struct {
	Scenario, Contender string
	Step                time.Duration
	Latency             []time.Duration
	Errors              []int
}

func readCurves(file string) ([]curve, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []curve
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c curve
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, lines.Err()
}

// The picture is a grid: a row for each contender, a column for each scenario.
const (
	left, top       = 172, 92 // of the grid
	panelW, panelH  = 268, 84
	gapX, gapY      = 22, 34
	floor, ceiling  = -6.5, 1.3 // of the scale, as powers of ten of a second
	seconds         = 10
	fontSize        = 11
	pictureW        = left + 3*panelW + 2*gapX + 18
	pictureH        = top + 5*panelH + 4*gapY + 46
	pictureTitle    = "How long callers wait, over time"
	pictureSubtitle = "1,000 goroutines that ask every 10 ms; tokens live 2 s, exchanges take 300 ms. 99.9th percentile of the calls under way, log scale."
	style           = `svg{color-scheme:light dark;font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:11px}
text{fill:#1f2328}.dim{fill:#59636e}.title{font-size:17px;font-weight:600}.name{font-weight:600;font-size:12px}.head{font-weight:600;font-size:12px}
.grid{stroke:#8c959f;stroke-opacity:.28;fill:none}.frame{stroke:#8c959f;stroke-opacity:.6;fill:none}.limit{stroke:#8c959f;stroke-dasharray:3 3;fill:none}
.line{fill:none;stroke:#57606a;stroke-width:1.4;stroke-linejoin:round}.area{fill:#57606a;fill-opacity:.16}
.ours .line{stroke:#0969da;stroke-width:1.8}.ours .area{fill:#0969da;fill-opacity:.18}.ours .name{fill:#0969da}
.outage{fill:#bf8700;fill-opacity:.17}.error{fill:#cf222e}.bad{fill:#cf222e}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9198a1}.line{stroke:#adb5bd}.area{fill:#adb5bd;fill-opacity:.2}
.ours .line{stroke:#58a6ff}.ours .area{fill:#58a6ff;fill-opacity:.24}.ours .name{fill:#58a6ff}.outage{fill:#d29922;fill-opacity:.24}.error{fill:#ff7b72}.bad{fill:#ff7b72}}`
)

var pictureNames = map[string][2]string{
	"sts":    {"stssource", "Source"},
	"oauth2": {"x/oauth2", "ReuseTokenSource"},
	"cloud":  {"cloud auth", "CachedTokenProvider"},
	"aws":    {"AWS SDK", "CredentialsCache"},
	"azcore": {"azcore", "BearerTokenPolicy"},
}

// picture draws the curves as an SVG that is readable on light and on dark
// pages. The numbers in it are those of r.
func picture(curves []curve, r results) []byte {
	var w strings.Builder
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+"\n", pictureW, pictureH, pictureW, pictureH)
	fmt.Fprintf(&w, "<title id=\"t\">%s</title><desc id=\"d\">%s</desc>\n<style>%s</style>\n", pictureTitle, pictureSubtitle, style)
	text(&w, 14, 26, "title", "", pictureTitle)
	text(&w, 14, 45, "dim", "", pictureSubtitle)
	for column, sc := range scenarios[:3] {
		text(&w, left+column*(panelW+gapX), top-22, "head", "", sc.short)
	}
	for _, c := range curves {
		row, column := indexOf(cacheNames, c.Contender), scenarioColumn(c.Scenario)
		if row < 0 || column < 0 {
			continue
		}
		panel(&w, c, left+column*(panelW+gapX), top+row*(panelH+gapY), column == 0, row == len(cacheNames)-1, r)
	}
	legend(&w)
	w.WriteString("</svg>\n")
	return []byte(w.String())
}

func indexOf(list []string, s string) int {
	for i, v := range list {
		if v == s {
			return i
		}
	}
	return -1
}

func scenarioColumn(name string) int {
	for i, sc := range scenarios[:3] {
		if sc.name == name {
			return i
		}
	}
	return -1
}

// panel draws one curve with its upper left corner at x, y.
func panel(w *strings.Builder, c curve, x, y int, first, last bool, r results) {
	class := "peer"
	if c.Contender == "sts" {
		class = "ours"
	}
	fmt.Fprintf(w, "<g class=\"%s\" transform=\"translate(%d %d)\">\n", class, x, y)
	if c.Scenario == "outage" {
		fmt.Fprintf(w, `<rect class="outage" x="%.1f" y="0" width="%.1f" height="%d"/>`, across(1.4), across(1), panelH)
	}
	if c.Scenario == "down" {
		fmt.Fprintf(w, `<rect class="outage" x="0" y="0" width="%d" height="%d"/>`, panelW, panelH)
	}
	axes(w, first, last)
	if first {
		n := pictureNames[c.Contender]
		text(w, -left+14, 30, "name", "", n[0])
		text(w, -left+14, 44, "dim", "", n[1])
	}
	trace(w, c)
	errorMarks(w, c)
	caption(w, c, r)
	w.WriteString("</g>\n")
}

// caption tells in numbers what the curve shows.
func caption(w *strings.Builder, c curve, r results) {
	key := "herd:Herd/" + c.Scenario + "/" + c.Contender
	part := func(unit, name string) string {
		v, _ := r.get(key, unit)
		if v == 0 || unit == "exchanges" {
			return fmt.Sprintf(`<tspan>%s %s</tspan>`, whole(v), name)
		}
		return fmt.Sprintf(`<tspan class="bad">%s %s</tspan>`, whole(v), name)
	}
	fmt.Fprintf(w, "<text x=\"0\" y=\"-6\">%s · %s · %s</text>\n", part("blocked", "blocked"), part("errors", "errors"), part("exchanges", "exchanges"))
}

// axes draws the frame, a line for each thousandfold, and at the grid's edge
// what they mean.
func axes(w *strings.Builder, first, last bool) {
	for i, label := range []string{"1 µs", "1 ms", "1 s"} {
		y := height(math.Pow10(3*i - 6))
		fmt.Fprintf(w, `<path class="grid" d="M0 %.1fH%d"/>`, y, panelW)
		if first {
			text(w, -6, int(y)+4, "dim", "end", label)
		}
	}
	fmt.Fprintf(w, `<path class="limit" d="M0 %.1fH%d"/><rect class="frame" x="0" y="0" width="%d" height="%d"/>`+"\n", height(0.01), panelW, panelW, panelH)
	if !last {
		return
	}
	for s := 0; s <= seconds; s += 2 {
		anchor := "middle"
		switch s {
		case 0:
			anchor = "start"
		case seconds:
			anchor = "end" // not into the next panel
		}
		text(w, int(across(float64(s))), panelH+15, "dim", anchor, fmt.Sprintf("%d s", s))
	}
}

// trace draws the latency as a line with an area below it.
func trace(w *strings.Builder, c curve) {
	var line strings.Builder
	for i, d := range c.Latency {
		from, to := across(float64(i)*c.Step.Seconds()), across(float64(i+1)*c.Step.Seconds())
		fmt.Fprintf(&line, "%c%.1f %.1fH%.1f", "ML"[min(i, 1)], from, height(d.Seconds()), to)
	}
	fmt.Fprintf(w, `<path class="area" d="%sV%dH0Z"/><path class="line" d="%s"/>`+"\n", line.String(), panelH, line.String())
}

// errorMarks marks the steps in which calls failed, along the lower edge.
func errorMarks(w *strings.Builder, c curve) {
	for i, n := range c.Errors {
		if n > 0 {
			fmt.Fprintf(w, `<rect class="error" x="%.1f" y="%d" width="%.1f" height="4"/>`, across(float64(i)*c.Step.Seconds()), panelH-4, across(c.Step.Seconds())+0.2)
		}
	}
	w.WriteString("\n")
}

func legend(w *strings.Builder) {
	y := pictureH - 12
	x := 14
	fmt.Fprintf(w, `<rect class="outage" x="%d" y="%d" width="14" height="9"/>`, x, y-8)
	text(w, x+19, y, "dim", "", "the service answers 503")
	fmt.Fprintf(w, `<rect class="error" x="%d" y="%d" width="14" height="4"/>`, x+170, y-6)
	text(w, x+189, y, "dim", "", "calls fail")
	fmt.Fprintf(w, `<path class="limit" d="M%d %dh14"/>`, x+270, y-4)
	text(w, x+289, y, "dim", "", "10 ms: from here on a call counts as blocked; a step without a call is at the bottom")
}

// across returns where an instant is in a panel, height where a latency is.
func across(s float64) float64 { return s / seconds * panelW }

func height(s float64) float64 {
	exp := math.Log10(max(s, 1e-9))
	return panelH * (1 - (min(max(exp, floor), ceiling)-floor)/(ceiling-floor))
}

func text(w *strings.Builder, x, y int, class, anchor, s string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	fmt.Fprintf(w, `<text class="%s" x="%d" y="%d"%s>%s</text>`+"\n", class, x, y, anchor, s)
}
