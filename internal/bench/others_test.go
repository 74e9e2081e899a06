package bench

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// watchOthers returns a function that tells which share of the machine's
// processors was taken by others since: other processes, and, on a virtual
// machine, its neighbours. ok is false on systems that do not tell in /proc.
func watchOthers() func() (share float64, ok bool) {
	begin := time.Now()
	busy, own, ok := ticks()
	return func() (float64, bool) {
		busyNow, ownNow, okNow := ticks()
		const perSecond = 100 // USER_HZ, on all of Linux
		all := time.Since(begin).Seconds() * perSecond * float64(runtime.NumCPU())
		return max(float64(busyNow-busy-(ownNow-own))/all, 0), ok && okNow
	}
}

// ticks returns how long all processors have been busy, and for this process.
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
	// After the name, which may have spaces: utime and stime are fields 14 and 15
	// of all.
	_, rest, _ := strings.Cut(string(process), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0, false
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return busy, user + system, true
}
