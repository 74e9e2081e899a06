package interop_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the program that Exec runs: with "child" and
// a file as its arguments it prints the file. Otherwise it runs the tests, and
// then sees to it that they have left nothing running.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "child" {
		os.Exit(printFile(os.Args[2]))
	}
	before := goroutines()
	code := m.Run()
	if code != 0 {
		os.Exit(code) // a test that fails may leave things running
	}
	if left := leftOver(before); left != "" {
		fmt.Fprintf(os.Stderr, "still running after the tests:\n\n%s\n", left)
		os.Exit(1)
	}
}

// printFile prints a file, and writes into another one beside it what the
// environment says of Google's protocol for programs.
func printFile(path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var told []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GOOGLE_EXTERNAL_ACCOUNT_") {
			told = append(told, v)
		}
	}
	slices.Sort(told)
	if err := os.WriteFile(path+".env", []byte(strings.Join(told, "\n")), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Stdout.Write(raw)
	return 0
}

// leftOver returns the stacks of the goroutines that are there now and were not
// before. It waits for those that are about to end.
func leftOver(before map[string]string) string {
	http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var left []string
		for id, stack := range goroutines() {
			if _, ok := before[id]; !ok && !harmless(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		select {
		case <-ctx.Done():
			return strings.Join(left, "\n\n")
		case <-tick.C:
		}
	}
}

// harmless reports whether a goroutine is one that others start and never end.
func harmless(stack string) bool {
	for _, function := range []string{
		// Once in a process: of the storage client and of gRPC.
		"go.opencensus.io/stats/view.(*worker)",
		"github.com/golang/glog.(*fileSink)",
		// For each client that goes away before the slow answer is there.
		"github.com/Shopify/toxiproxy/v2/toxics.(*BandwidthToxic).Pipe",
	} {
		if strings.Contains(stack, function) {
			return true
		}
	}
	return false
}

// goroutines returns the stacks of all goroutines but the calling one, by ID.
func goroutines() map[string]string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	stacks := make(map[string]string)
	for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		stacks[id] = stack
	}
	return stacks
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// quiet is the logger of servers, whose words would drown those of the tests.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// claims returns the claims of a JWT, without a look at its signature.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts is not a JWT", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
