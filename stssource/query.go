package stssource

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// secretQuery names the query parameters whose values are secrets, also with a
// $ before the name.
var secretQuery = []string{"access_token", "oauth_token", "key"}

// queryRules says what is wrong with the value of a query parameter. They are
// the system parameters of Google's APIs; a parameter that is not here is sent
// as it is. The rules hold whatever the service, since each is about whether
// the answer can be read or the request be safe.
var queryRules = map[string]func(Config, string) error{
	"callback": func(Config, string) error {
		return errors.New("wraps the answer into JavaScript (JSONP), which cannot be read as a token")
	},
	"alt": func(_ Config, value string) error {
		if value == "json" {
			return nil
		}
		return errors.New("asks for an answer that is not JSON, which cannot be read as a token: use json or leave it out")
	},
	"fields": func(c Config, value string) error { return checkFields(value, c.Refresh.DefaultLifetime > 0) },
	"$.xgafv": func(_ Config, value string) error {
		return oneOf(value, "1", "2")
	},
	"prettyPrint": func(_ Config, value string) error { return oneOf(value, "true", "false") },
	"quotaUser": func(_ Config, value string) error {
		if n := utf8.RuneCountInString(value); n > 40 {
			return fmt.Errorf("has %d characters, and 40 is the most", n)
		}
		return nil
	},
	"access_token": tokenInQuery,
	"oauth_token":  tokenInQuery,
}

func tokenInQuery(c Config, _ string) error {
	if c.InsecureTokenInQuery {
		return nil
	}
	return errors.New("puts a token into the URL, where proxies and servers log it: " +
		"leave it out, or set InsecureTokenInQuery if that is safe")
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("must be %s", strings.Join(allowed, " or "))
}

// checkQuery checks the parameters in q, which come from the field of that
// name. It never shows a value.
func (c Config) checkQuery(field string, q url.Values) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(q)) {
		rule := queryRules[name]
		if rule == nil { // most have a second name, such as $alt
			rule = queryRules[strings.TrimPrefix(name, "$")]
		}
		if rule == nil {
			continue
		}
		if len(q[name]) > 1 {
			errs = append(errs, fmt.Errorf("%s: %q is given %d times", field, name, len(q[name])))
		}
		for _, value := range q[name] {
			if err := rule(c, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q %w", field, name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// checkFields checks a selector for a partial answer: without access_token
// there is no token, and without expires_in nobody knows when it ends.
func checkFields(selector string, lifetimeKnown bool) error {
	selected := strings.Split(selector, ",")
	has := func(name string) bool {
		return slices.ContainsFunc(selected, func(s string) bool {
			s = strings.TrimSpace(s)
			return s == "*" || s == name
		})
	}
	switch {
	case !has("access_token"):
		return errors.New("leaves access_token out of the answer: add it")
	case !has("expires_in") && !lifetimeKnown:
		return errors.New("leaves expires_in out of the answer, so that nobody knows when the token ends: " +
			"add it, or set Refresh.DefaultLifetime")
	}
	return nil
}
