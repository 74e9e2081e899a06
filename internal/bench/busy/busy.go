// Package busy tells what else a machine does while something is measured on it.
package busy

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Watch returns a function that tells which share of the machine's processors was
// taken by others since: by processes that are neither this one nor children of
// it that have ended, and, on a virtual machine, by its neighbours. ok is false
// on systems that do not tell in /proc.
func Watch() func() (share float64, ok bool) {
	begin := time.Now()
	busy, own, ok := ticks()
	return func() (float64, bool) {
		busyNow, ownNow, okNow := ticks()
		const perSecond = 100 // USER_HZ, on all of Linux
		all := time.Since(begin).Seconds() * perSecond * float64(runtime.NumCPU())
		return max(float64(busyNow-busy-(ownNow-own))/all, 0), ok && okNow
	}
}

// ticks returns how long all processors have been busy, and how long with this
// process and its children.
func ticks() (busy, own int, ok bool) {
	machine, err1 := os.ReadFile("/proc/stat")
	process, err2 := os.ReadFile("/proc/self/stat")
	if err1 != nil || err2 != nil {
		return 0, 0, false
	}
	// cpu user nice system idle iowait irq softirq steal ...
	first, _, _ := strings.Cut(string(machine), "\n")
	for i, field := range strings.Fields(first) {
		if i >= 1 && i <= 8 && i != 4 && i != 5 {
			n, _ := strconv.Atoi(field)
			busy += n
		}
	}
	// After the name, which may have spaces: the user's and the system's time,
	// and those of children, are fields 14 to 17 of all.
	_, rest, _ := strings.Cut(string(process), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, 0, false
	}
	for _, field := range fields[11:15] {
		n, _ := strconv.Atoi(field)
		own += n
	}
	return busy, own, true
}
