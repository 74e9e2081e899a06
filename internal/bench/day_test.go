package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDay has one caller ask every so often, for a day of the fake clock, while
// tokens live for an hour and an exchange takes 300 ms. Run it with -v: the
// attributes of each case tell what came of it.
func TestDay(t *testing.T) {
	for _, every := range []time.Duration{time.Second, time.Minute, 7 * time.Minute, 13 * time.Minute, 31 * time.Minute} {
		for _, c := range caches {
			t.Run("every="+every.String()+"/"+c.name, func(t *testing.T) {
				var d day
				synctest.Test(t, func(t *testing.T) { d = aDay(t, c, every) })
				t.Attr("day", d.String())
				if c.name == "sts" && (d.waited != 1 || d.exchanges > 28) {
					t.Errorf("%v: want the first caller alone to wait, and at most 28 exchanges", d)
				}
				if d.waited < 1 || d.exchanges < 20 {
					t.Errorf("%v: the first must wait, and tokens of an hour do not last a day", d)
				}
			})
		}
	}
}

type day struct{ calls, waited, exchanges int }

func (d day) String() string {
	return fmt.Sprintf("%d calls, %d waited, %d exchanges", d.calls, d.waited, d.exchanges)
}

func aDay(t *testing.T, c cache, every time.Duration) (d day) {
	var exchanges atomic.Int64
	token := c.new(func(context.Context) (string, time.Time, error) {
		exchanges.Add(1)
		time.Sleep(300 * time.Millisecond)
		return shortToken, time.Now().Add(time.Hour), nil
	}, 0)
	for begin := time.Now(); time.Since(begin) < 24*time.Hour; time.Sleep(every) {
		before := time.Now()
		if _, err := token(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.calls++
		if time.Since(before) > 0 {
			d.waited++
		}
	}
	d.exchanges = int(exchanges.Load())
	time.Sleep(time.Second) // for a renewal that is under way
	return d
}
