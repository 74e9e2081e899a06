package stssource_test

import (
	"testing"
	"time"

	"github.com/go-sts/sts/stssource"
)

func TestDueAt(t *testing.T) {
	const almost = 0.999999999
	for _, tt := range []struct {
		reason string
		before time.Duration
		life   time.Duration
		random float64
		want   time.Duration
	}{
		{"an hour: five minutes before its end", 0, time.Hour, 0, 55 * time.Minute},
		{"less up to a fifth of that at random", 0, time.Hour, almost, 56 * time.Minute},
		{"in between", 0, time.Hour, 0.5, 55*time.Minute + 30*time.Second},
		{"twelve hours: five minutes all the same", 0, 12 * time.Hour, 0, 12*time.Hour - 5*time.Minute},
		{"twenty minutes: a quarter is five minutes", 0, 20 * time.Minute, 0, 15 * time.Minute},
		{"a minute: a quarter, not at each call", 0, time.Minute, 0, 45 * time.Second},
		{"two seconds", 0, 2 * time.Second, 0, 1500 * time.Millisecond},
		{"chosen: kept to exactly", 10 * time.Second, time.Hour, almost, 3590 * time.Second},
		{"chosen and longer than the life: half of it", time.Hour, time.Minute, 0, 30 * time.Second},
		{"no end, no renewal", 0, stssource.Forever, almost, stssource.Forever},
		{"no end, whatever is chosen", time.Minute, stssource.Forever, 0, stssource.Forever},
	} {
		got := stssource.DueAt(stssource.Refresh{Before: tt.before}, tt.life, tt.random)
		if diff := got - tt.want; diff < -time.Microsecond || diff > time.Microsecond {
			t.Errorf("%s: due at %v, want %v", tt.reason, got, tt.want)
		}
	}
}

func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		reason              string
		left, took, timeout time.Duration
		want                time.Duration
	}{
		{"half of what is left, for another attempt", 20 * time.Second, 100 * time.Millisecond, time.Minute, 10 * time.Second},
		{"no more than an exchange may take at all", 5 * time.Minute, time.Second, time.Minute, time.Minute},
		{"a healthy exchange is not given up", 500 * time.Millisecond, 300 * time.Millisecond, time.Minute, 600 * time.Millisecond},
		{"nor one whose time nobody has measured", time.Millisecond, 0, time.Minute, 250 * time.Millisecond},
	} {
		if got := stssource.Patience(tt.left, tt.took, tt.timeout); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}

// Each row holds for every value of random: the bounds are those for 0 and 1.
func TestPauses(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, tt := range []struct {
		reason   string
		f        func(random float64) time.Duration
		min, max time.Duration
	}{
		{"the first pause", func(r float64) time.Duration { return stssource.Pause(1, 0, r) }, 200 * ms, 400 * ms},
		{"doubled", func(r float64) time.Duration { return stssource.Pause(3, 0, r) }, 800 * ms, 1600 * ms},
		{"bounded", func(r float64) time.Duration { return stssource.Pause(9, 0, r) }, 15 * s, 30 * s},
		{"without overflow", func(r float64) time.Duration { return stssource.Pause(1e6, 0, r) }, 15 * s, 30 * s},
		{"the service asked for more", func(r float64) time.Duration { return stssource.Pause(1, 7*s, r) }, 7 * s, 7 * s},
		{"the service asked for less", func(r float64) time.Duration { return stssource.Pause(5, s, r) }, 3200 * ms, 6400 * ms},
		{"ahead: at most half of what is left", func(r float64) time.Duration { return stssource.PauseAhead(9, 0, 20*s, r) }, 10 * s, 10 * s},
		{"ahead: also if the service asked for more", func(r float64) time.Duration { return stssource.PauseAhead(1, 400*s, 20*s, r) }, 10 * s, 10 * s},
		{"ahead: not endlessly often", func(r float64) time.Duration { return stssource.PauseAhead(9, 0, ms, r) }, 400 * ms, 400 * ms},
		{"an error is held", func(r float64) time.Duration { return stssource.Hold(1, 0, false, r) }, 250 * ms, 500 * ms},
		{"longer each time", func(r float64) time.Duration { return stssource.Hold(4, 0, false, r) }, 2 * s, 4 * s},
		{"at most half a minute", func(r float64) time.Duration { return stssource.Hold(50, 0, false, r) }, 15 * s, 30 * s},
		{"a rotated token may mend it", func(r float64) time.Duration { return stssource.Hold(50, 0, true, r) }, 2500 * ms, 5 * s},
		{"as long as the service asked for", func(r float64) time.Duration { return stssource.Hold(1, 20*s, false, r) }, 20 * s, 20 * s},
		{"but not for a year", func(r float64) time.Duration { return stssource.Hold(1, 1e6*s, false, r) }, 30 * s, 30 * s},
	} {
		if got := tt.f(0); got != tt.min {
			t.Errorf("%s: at least %v, want %v", tt.reason, got, tt.min)
		}
		if got := tt.f(1); got != tt.max {
			t.Errorf("%s: at most %v, want %v", tt.reason, got, tt.max)
		}
	}
}
