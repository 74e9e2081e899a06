package subjecttoken

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-sts/sts/internal/redact"
)

// Cached returns a [Provider] that keeps a token of p until margin before its
// expiry, but at least for half of the time it had left when it came. If margin
// is zero, it is one minute. A token without an Expiry is not kept. A nil p and a
// negative margin are reported by the Validate method.
//
// Callers that come while p is asked share its answer, and each waits no longer
// than its own context allows. The context that p gets has none of their
// values, and is done when no caller waits any more.
//
// Most programs do not need it: a Source asks for a subject token about once an
// hour, and a token that is kept may have been rotated meanwhile. It is for a
// provider that is slow, rate-limited or costly, and that serves several
// exchanges.
func Cached(p Provider, margin time.Duration) Provider {
	if margin == 0 {
		margin = cachedMargin
	}
	c := &cached{provider: p, margin: margin}
	c.flight.ask = c.ask
	return c
}

const cachedMargin = time.Minute // what an exchange with all of its retries may take

type cached struct {
	provider Provider
	margin   time.Duration
	flight   flight

	mu    sync.Mutex // guards what follows
	token Token
	until time.Time // zero: there is no token
}

// SubjectToken returns the kept token, or asks the provider.
func (c *cached) SubjectToken(ctx context.Context) (Token, error) {
	if c.provider == nil {
		return Token{}, c.Validate()
	}
	if t, ok := c.kept(); ok {
		return t, nil
	}
	t, err := c.flight.do(ctx)
	if err != nil {
		return Token{}, foreign("cached subject token", err)
	}
	return t, nil
}

// Validate reports what is wrong with the provider or the margin.
func (c *cached) Validate() error {
	var errs []error
	if c.margin < 0 {
		errs = append(errs, errors.New("the margin is negative"))
	}
	if c.provider == nil {
		errs = append(errs, errors.New("the provider is nil"))
	}
	if v, ok := c.provider.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return invalid("cached subject token", errs...)
}

// Format prints the provider without the token.
func (c *cached) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText gives the text of Format.
func (c *cached) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c *cached) describe() string { return fmt.Sprintf("subjecttoken.Cached(%T)", c.provider) }

func (c *cached) kept() (Token, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token, time.Now().Before(c.until)
}

func (c *cached) ask(ctx context.Context) (Token, error) {
	// The one who asked before may have come back since kept was called.
	if t, ok := c.kept(); ok {
		return t, nil
	}
	t, err := c.provider.SubjectToken(ctx)
	if err != nil {
		return Token{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token, c.until = t, keepUntil(t.Expiry, time.Now(), c.margin)
	return t, nil
}

// keepUntil returns until when a token is kept, or zero if not at all. Half of
// what is left is for tokens that live hardly longer than the margin, which
// would otherwise be fetched for every call.
func keepUntil(expiry, now time.Time, margin time.Duration) time.Time {
	// Without its monotonic reading, which stands still while a machine is
	// suspended and the token ages.
	now = now.Round(0)
	left := expiry.Sub(now)
	if expiry.IsZero() || left <= 0 {
		return time.Time{}
	}
	return now.Add(max(left-margin, left/2))
}
