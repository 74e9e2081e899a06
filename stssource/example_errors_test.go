package stssource_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// A refusal says what the service said and what to look at.
func ExampleError() {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{Error: "invalid_target", Description: "unknown audience"})
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		Audiences:    []string{"inventroy"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = src.Token()
	fmt.Println(err)

	var e *stssource.Error
	if errors.As(err, &e) {
		fmt.Println(e.StatusCode, e.Code, e.Temporary)
	}
	// Output:
	// stssource: exchange with sts.example.com: 400 invalid_target: unknown audience (check Audiences and Resources: the service does not know them, or they are disabled)
	// 400 invalid_target false
}

// How a program tells what went wrong. An outage passes, and the Source goes on
// trying by itself; the other failures need somebody to change something.
func ExampleError_temporary() {
	classify := func(err error) string {
		e, ok := errors.AsType[*stssource.Error](err)
		switch {
		case !ok:
			return "not from a Source"
		case e.Temporary:
			return "outage: serve what works without a token"
		case e.Stage == stssource.StageSubjectToken:
			return "no subject token: check where it comes from"
		case e.Stage == stssource.StageExchange:
			return "refused: check the Config and the service's policy"
		}
		return string(e.Stage)
	}
	service := new(ststest.Handler)
	config := stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	}
	try := func(c stssource.Config) {
		src, err := stssource.New(c)
		if err != nil {
			log.Fatal(err)
		}
		_, err = src.Token()
		fmt.Println(classify(err))
	}

	service.Script(ststest.Reply{Status: http.StatusServiceUnavailable, RetryAfter: "120"})
	try(config)
	service.Script(ststest.Reply{Error: "access_denied"})
	try(config)
	config.SubjectToken = subjecttoken.File{Path: "testdata/missing"}
	try(config)
	// Output:
	// outage: serve what works without a token
	// refused: check the Config and the service's policy
	// no subject token: check where it comes from
}

// A refusal is an oauth2.RetrieveError, too, for code that knows that one. Any
// other failure wraps its cause.
func ExampleError_Unwrap() {
	service := new(ststest.Handler)
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	service.Script(ststest.Reply{Error: "invalid_scope"})
	_, err = src.Token()
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Response.StatusCode, refusal.ErrorCode)
	}
	// Output: 400 invalid_scope
}
