package ststest_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// newSource stands for the code under test.
func newSource(t *testing.T, client *http.Client) oauth2.TokenSource {
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.test/token",
		SubjectToken: subjecttoken.Static{Value: "made up"},
		HTTPClient:   client,
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{Lifetime: time.Hour}
		src := newSource(t, &http.Client{Transport: service.RoundTripper()})
		if _, err := src.Token(); err != nil {
			t.Fatal(err)
		}
		service.Script(ststest.Reply{Status: 503, Times: 3})
		time.Sleep(time.Hour) // of the bubble's time
		token, err := src.Token()
		if err != nil || !service.Valid(token.AccessToken) {
			t.Error("the outage shows:", err)
		}
	})
}

// The program in the package's documentation is TestOutage, to the letter.
func TestPackageDocShowsTheTest(t *testing.T) {
	source, err := os.ReadFile("doc_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "\nfunc TestOutage(")
	program, _, _ = strings.Cut("func TestOutage("+program, "\n}\n")
	var comment strings.Builder
	for line := range strings.Lines(program + "\n}\n") {
		comment.WriteString("//\t" + line)
	}
	doc, err := os.ReadFile("handler.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), comment.String()) {
		t.Errorf("the package's documentation does not have TestOutage:\n%s", comment.String())
	}
}
