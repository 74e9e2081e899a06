// Package tokentype checks token type URIs (RFC 8693, section 3).
package tokentype

import (
	"fmt"
	"slices"
	"strings"
)

// short are the names that the RFC gives to token types in its text. What is
// sent is the URI.
var short = []string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"}

// Check returns an error if typ is such a name in place of the URI, which is the
// likely mistake, and only then: services have token types of their own, and not
// all of those are URIs.
func Check(typ string) error {
	if name := strings.ToLower(typ); slices.Contains(short, name) {
		return fmt.Errorf("%q is not a token type: write urn:ietf:params:oauth:token-type:%s", typ, name)
	}
	return nil
}
