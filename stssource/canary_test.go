package stssource_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// canaries is a Config in which every secret is a string of its own, and what
// was seen of it by whom it should not be.
type canaries struct {
	config stssource.Config
	values []string

	mu   sync.Mutex
	seen bytes.Buffer // the log, and what the observer was told
}

// notSecret names the fields of a Config that hold no secret, and are left as
// they are. A field that is neither here nor of a type that plant knows fails
// the test: somebody has to say what it is.
var notSecret = map[string]bool{
	"TokenURL": true, "SubjectTokenType": true, "ActorTokenType": true, "Audiences": true, "Resources": true,
	"Scopes": true, "RequestedTokenType": true, "EndpointParams": true, "Encoding": true, "ClientID": true,
	"AuthStyle": true, "RawBasicAuth": true, "HTTPClient": true, "Refresh": true,
	"InsecureHTTP": true, "InsecureTokenInQuery": true,
}

// newCanaries plants a canary in every field of a Config that can hold a secret.
func newCanaries(t *testing.T) *canaries {
	c := new(canaries)
	v := reflect.ValueOf(&c.config).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !notSecret[name] {
			c.plant(t, name, v.Field(i))
		}
	}
	// A client has either a secret or an assertion: see TestCanaryAssertion.
	c.config.ClientAssertion = nil
	c.config.ClientID = "client"
	c.config.InsecureTokenInQuery = true
	c.config.Refresh.Observe = func(a stssource.Attempt) {
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprintf(&c.seen, "%v %+v %#v\n", a, a, a)
	}
	c.config.Refresh.Logger = slog.New(slog.NewJSONHandler(lockedWriter{c}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return c
}

type lockedWriter struct{ c *canaries }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.c.seen.Write(p)
}

func (c *canaries) plant(t *testing.T, name string, field reflect.Value) {
	secret := func(part string) string {
		s := "canary-" + strings.ToLower(name) + part + "/+%&-0123456789"
		c.values = append(c.values, s)
		return s
	}
	switch field.Interface().(type) {
	case string:
		field.SetString(secret(""))
	case http.Header:
		field.Set(reflect.ValueOf(http.Header{"X-Api-Key": {secret("-key")}}))
	case url.Values:
		field.Set(reflect.ValueOf(url.Values{
			"key": {secret("-key")}, "access_token": {secret("-access")}, "oauth_token": {secret("-oauth")},
		}))
	default:
		if field.Type() != reflect.TypeFor[subjecttoken.Provider]() {
			t.Fatalf("Config.%s: say in notSecret that it holds no secret, or teach plant to put one in", name)
		}
		field.Set(reflect.ValueOf(subjecttoken.Static{Value: secret("")}))
	}
}

// forms returns the forms in which a canary may show.
func (c *canaries) forms() []string {
	var forms []string
	for _, v := range append([]string{"canary-access-token-0123456789"}, c.values...) {
		forms = append(forms, v, url.QueryEscape(v), url.PathEscape(v), base64.StdEncoding.EncodeToString([]byte(v)),
			strings.Trim(fmt.Sprintf("%q", v), `"`))
	}
	// Enough of one to know it by.
	return append(forms, "canary-")
}

func (c *canaries) search(fail func(string, ...any), where, text string) {
	for _, form := range c.forms() {
		if strings.Contains(text, form) {
			fail("%s shows %q: %s", where, form, text)
			return
		}
	}
}

// checkError looks for canaries in everything that err can be made to print.
func (c *canaries) checkError(fail func(string, ...any), err error) {
	if err == nil {
		fail("no error")
		return
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		c.search(fail, verb, fmt.Sprintf(verb, err))
	}
	if b, jsonErr := json.Marshal(err); jsonErr == nil {
		c.search(fail, "JSON", string(b))
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Error("m", "err", err)
	slog.New(slog.NewTextHandler(&log, nil)).Error("m", "err", err)
	c.search(fail, "slog", log.String())
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			c.checkError(fail, cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			c.checkError(fail, cause)
		}
	}
	if fields := reflect.ValueOf(err); fields.Kind() == reflect.Pointer && fields.Elem().Kind() == reflect.Struct {
		c.search(fail, "its fields", fmt.Sprintf("%+v", fields.Elem().Interface()))
	}
}

// checkSeen looks for canaries in the log and in what the observer was told,
// which is not before the caller has its answer.
func (c *canaries) checkSeen(fail func(string, ...any)) {
	told := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return strings.Contains(c.seen.String(), "token refresh failed")
	}
	for begin := time.Now(); !told(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			fail("the log was told of no failure")
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.search(fail, "the log or the observer", c.seen.String())
}

// Every way in which a provider can fail, for each of the providers of a Config.
func TestCanaryProviders(t *testing.T) {
	secret := "canary-provider-token-0123456789"
	failures := map[string]subjecttoken.Func{
		"an error that shows it": func(context.Context) (subjecttoken.Token, error) {
			return subjecttoken.Token{Value: secret}, fmt.Errorf("cannot use %s", secret)
		},
		"a panic that shows it": func(context.Context) (subjecttoken.Token, error) { panic(secret) },
		"a panic with an error": func(context.Context) (subjecttoken.Token, error) { panic(errors.New(secret)) },
		"a token that has ended": func(context.Context) (subjecttoken.Token, error) {
			return subjecttoken.Token{Value: secret, Expiry: time.Now().Add(-time.Hour)}, nil
		},
		"a token of two lines": func(context.Context) (subjecttoken.Token, error) {
			return subjecttoken.Token{Value: secret + "\n" + secret}, nil
		},
		"runtime.Goexit": func(context.Context) (subjecttoken.Token, error) {
			runtime.Goexit()
			return subjecttoken.Token{}, nil
		},
		"no token": func(context.Context) (subjecttoken.Token, error) { return subjecttoken.Token{}, nil },
	}
	for name, failure := range failures {
		for _, field := range []string{"SubjectToken", "ActorToken", "ClientAssertion"} {
			t.Run(field+": "+name, func(t *testing.T) {
				c := newCanaries(t)
				config := c.config
				config.TokenURL = "https://sts.example.com/token"
				config.HTTPClient = &http.Client{Transport: new(ststest.Handler).RoundTripper()}
				if field == "ClientAssertion" {
					config.ClientSecret = ""
				}
				reflect.ValueOf(&config).Elem().FieldByName(field).Set(reflect.ValueOf(subjecttoken.Provider(failure)))
				src, err := stssource.New(config)
				if err != nil {
					t.Fatal(err)
				}
				_, err = src.Token()
				c.checkError(t.Errorf, err)
				c.checkSeen(t.Errorf)
			})
		}
	}
}

// A client assertion is a secret like the others: the service echoes it.
func TestCanaryAssertion(t *testing.T) {
	c := newCanaries(t)
	config := c.config
	config.TokenURL = "https://sts.example.com/token"
	config.ClientSecret = ""
	config.ClientAssertion = subjecttoken.Static{Value: "canary-assertion/+%&-0123456789"}
	config.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		header := http.Header{"Www-Authenticate": {"Bearer error=" + string(body)}}
		return &http.Response{StatusCode: 401, Header: header, Body: readCloser(string(body)), Request: r}, nil
	})}
	src, err := stssource.New(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = src.Token()
	c.checkError(t.Errorf, err)
	c.checkSeen(t.Errorf)
	if !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("the service's echo is not in the error: %v", err)
	}
}

// A transport that puts the request into its error, as some do.
func TestCanaryTransportError(t *testing.T) {
	c := newCanaries(t)
	config := c.config
	config.TokenURL = "https://sts.example.com/token"
	config.Refresh.Timeout = time.Second
	cause := errors.New("the cause")
	config.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		return nil, fmt.Errorf("%w: POST %s %v %s", cause, r.URL, r.Header, body)
	})}
	src, err := stssource.New(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = src.Token()
	c.checkError(t.Errorf, err)
	c.checkSeen(t.Errorf)
	if !errors.Is(err, cause) {
		t.Errorf("errors.Is no longer finds the cause in %v", err)
	}
}

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
