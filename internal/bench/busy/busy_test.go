package busy_test

import (
	"testing"
	"time"

	"github.com/go-sts/sts/internal/bench/busy"
)

// What this process does is not another's. How much others do is not known.
func TestWatch(t *testing.T) {
	share := busy.Watch()
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
	}
	if s, ok := share(); ok && (s < 0 || s > 1.5) {
		t.Errorf("others took %v of the machine", s)
	}
}
