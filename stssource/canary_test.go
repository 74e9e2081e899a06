package stssource_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/go-sts/sts/stssource"
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

// checkSeen looks for canaries in the log and in what the observer was told.
func (c *canaries) checkSeen(fail func(string, ...any)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.Len() == 0 {
		fail("neither the log nor the observer was told anything")
	}
	c.search(fail, "the log or the observer", c.seen.String())
}
