package ststest_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/ststest"
)

// TestAPanicOfTheHandlerEndsTheProgram runs itself once more, since the
// program that ends is that of the test.
func TestAPanicOfTheHandlerEndsTheProgram(t *testing.T) {
	const variable = "STSTEST_PANIC"
	if os.Getenv(variable) != "" {
		h := &ststest.Handler{Accept: func(string) error { panic("by Accept") }}
		h.RoundTripper().RoundTrip(validRFC().request(t))
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), variable+"=1")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: by Accept") {
		t.Errorf("%v, output:\n%s", err, out)
	}
}

func TestHandlersThatDoNotReturn(t *testing.T) {
	for _, test := range []struct {
		reason  string
		handler http.HandlerFunc
	}{
		{"http.ErrAbortHandler", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"runtime.Goexit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			response, err := over(test.handler, newRequest(t, "GET", "https://api.test/", nil))
			if response != nil || err != io.ErrUnexpectedEOF {
				t.Errorf("%v, %v; want %v", response, err, io.ErrUnexpectedEOF)
			}
		})
		t.Run(test.reason+" after the header", func(t *testing.T) {
			response, err := over(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "x")
				test.handler(w, r)
			}, newRequest(t, "GET", "https://api.test/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var b bytes.Buffer
			if _, err := b.ReadFrom(response.Body); b.String() != "x" || err != io.ErrUnexpectedEOF {
				t.Errorf("read %q, %v; want %v", b.String(), err, io.ErrUnexpectedEOF)
			}
		})
	}
}
