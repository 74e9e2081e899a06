package subjecttoken

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
)

// FromTokenSource returns a [Provider] of the access tokens of src, with the
// type [TypeAccessToken]: to exchange them for tokens that permit less, or that
// are for another audience.
//
// If src has a method TokenContext(context.Context) (*oauth2.Token, error), as
// the sources of this module have, that is called. Otherwise src.Token is: a
// caller whose context is done then returns at once, and the call goes on until
// src gives up. At most one such call is under way.
func FromTokenSource(src oauth2.TokenSource) Provider {
	p := &tokenSource{src: src}
	p.flight.deaf = true
	p.flight.ask = func(context.Context) (Token, error) { return fromOAuth(src.Token()) }
	return p
}

type tokenSource struct {
	src    oauth2.TokenSource
	flight flight
}

const sourceTokenSource = "token source"

// SubjectToken returns the access token that the source has now.
func (p *tokenSource) SubjectToken(ctx context.Context) (Token, error) {
	if err := p.Validate(); err != nil {
		return Token{}, err
	}
	var t Token
	var err error
	if src, ok := p.src.(interface {
		TokenContext(context.Context) (*oauth2.Token, error)
	}); ok {
		t, err = fromOAuth(src.TokenContext(ctx))
	} else {
		t, err = p.flight.do(ctx)
	}
	if err != nil {
		return Token{}, foreign(sourceTokenSource, err)
	}
	return t, nil
}

// Validate reports whether there is a source.
func (p *tokenSource) Validate() error {
	if p.src == nil {
		return fail(sourceTokenSource, errors.New("the token source is nil"))
	}
	return nil
}

// Format prints String: what is in the source may be secret.
func (p *tokenSource) Format(f fmt.State, _ rune) { redact.Format(f, p.String()) }

// MarshalText gives the text of String.
func (p *tokenSource) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String names the type of the source.
func (p *tokenSource) String() string {
	return fmt.Sprintf("subjecttoken.FromTokenSource(%T)", p.src)
}

func fromOAuth(t *oauth2.Token, err error) (Token, error) {
	if err != nil {
		return Token{}, err
	}
	if t == nil {
		return Token{}, errEmpty
	}
	return newToken(t.AccessToken, TypeAccessToken, t.Expiry)
}
