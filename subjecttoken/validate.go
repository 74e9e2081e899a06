package subjecttoken

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/tokentype"
)

// invalid joins the mistakes in a provider's fields, or returns nil if there
// are none.
func invalid(source string, mistakes ...error) error {
	if err := errors.Join(mistakes...); err != nil {
		return fail(source, err)
	}
	return nil
}

func checkField(field string) error {
	_, err := fieldPath(field)
	return err
}

func checkType(typ string) error {
	if err := tokentype.Check(typ); err != nil {
		return fmt.Errorf("field Type: %w", err)
	}
	return nil
}

func checkTimeout(d time.Duration) error {
	if d != 0 && (d < minTimeout || d > maxTimeout) {
		return fmt.Errorf("field Timeout %v is not between %v and %v", d, minTimeout, maxTimeout)
	}
	return nil
}

// checkHeader names a header that cannot be sent, but not its value.
func checkHeader(h http.Header) error {
	var errs []error
	for name, values := range h {
		if !isHeaderName(name) {
			errs = append(errs, fmt.Errorf("field Header has %q, which is not the name of a header", name))
			continue
		}
		for _, v := range values {
			if strings.ContainsFunc(v, notInHeader) {
				errs = append(errs, fmt.Errorf("field Header %s has a value with a line break or another control character", name))
			}
		}
	}
	return errors.Join(errs...)
}

// isHeaderName reports whether name is a token of RFC 9110, section 5.6.2.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func notInHeader(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// longer drops the values that are too short to be secrets: hiding each "1"
// or "on" would only make an error unreadable.
func longer(values []string) []string {
	var long []string
	for _, v := range values {
		if len(v) >= 4 {
			long = append(long, v)
		}
	}
	return long
}
