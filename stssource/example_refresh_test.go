package stssource_test

import (
	"context"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// Observe counts attempts for a program's metrics.
func ExampleRefresh() {
	counts := new(expvar.Map) // or expvar.NewMap, which publishes it
	told := make(chan bool, 1)
	config := exampleConfig()
	config.Refresh = stssource.Refresh{
		Before: 10 * time.Minute, // renew earlier than by default
		Observe: func(a stssource.Attempt) {
			outcome := "succeeded"
			if a.Err != nil {
				outcome = "failed"
			}
			counts.Add(string(a.Trigger)+" "+outcome, 1)
			told <- true // for this example alone
		},
	}
	src, err := stssource.New(config)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := src.Token(); err != nil {
		log.Fatal(err)
	}
	<-told
	fmt.Println(counts)
	// Output: {"first succeeded": 1}
}

// A Logger is told of each attempt: successes at level Debug, failures at Warn.
func ExampleRefresh_logger() {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{Error: "access_denied"})
	lines := make(lineWriter, 1)
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
		Refresh:      stssource.Refresh{Logger: slog.New(slog.NewTextHandler(lines, withoutTimes))}, // or slog.Default()
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := src.Token(); err == nil {
		log.Fatal("a token in spite of the refusal")
	}
	fmt.Print(<-lines)
	// Output: level=WARN msg="token refresh failed" trigger=first error="stssource: exchange with sts.example.com: 400 access_denied (the service does not accept the subject token, or forbids this exchange)"
}

// lineWriter hands on what is logged.
type lineWriter chan string

func (l lineWriter) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// withoutTimes leaves out of the log what differs from run to run.
var withoutTimes = &slog.HandlerOptions{
	ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	},
}

// The refresh engine over any function that gets a token.
func ExampleNewFromFunc() {
	n := 0
	src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
		n++ // calls do not overlap
		return &oauth2.Token{AccessToken: fmt.Sprint("token-", n), Expiry: time.Now().Add(time.Hour)}, nil
	}, stssource.Refresh{})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		token, err := src.Token()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.AccessToken)
	}
	// Output:
	// token-1
	// token-1
	// token-1
}

// A service rejected a token that has not expired: its session was revoked,
// say.
func ExampleSource_Invalidate() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	first, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	src.Invalidate(first)
	second, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	src.Invalidate(first) // late, and without effect: there is another token by now
	third, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed:", second.AccessToken != first.AccessToken)
	fmt.Println("kept:", third.AccessToken == second.AccessToken)
	// Output:
	// renewed: true
	// kept: true
}

// A readiness probe: the program is ready while it has a token. It asks for the
// token, which is what renews one that nobody else asks for, and has the details
// from Status, which makes no request.
func ExampleSource_Status() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(src.Status().Valid) // nobody has asked for a token yet
	ready := func(ctx context.Context) (int, stssource.Status) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := src.TokenContext(ctx); err != nil {
			return http.StatusServiceUnavailable, src.Status()
		}
		return http.StatusOK, src.Status()
	}
	code, s := ready(context.Background())
	fmt.Println(code, s.Valid, s.Exchanges, s.Failures, s.LastError, s.NextRefresh.Before(s.Expiry))
	// Output:
	// false
	// 200 true 1 0 <nil> true
}
