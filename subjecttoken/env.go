package subjecttoken

import (
	"context"
	"errors"
	"os"
	"strings"
)

// Env is a [Provider] that reads an environment variable of this process, at
// each call. White space around the token is removed. A variable that is not
// set, or empty, is an error.
type Env struct {
	// Name is the name of the variable. Required.
	Name string

	// Type is the token's type, such as [TypeJWT]. If empty, the exchange
	// decides: see [Token].
	Type string

	// JSONField says where the token is if the variable's value is a JSON
	// document: the name of a top-level member, or a JSON pointer (RFC 6901) if
	// it starts with "/". If empty, the whole value is the token.
	JSONField string
}

var _ Provider = Env{}

// SubjectToken reads the variable.
func (e Env) SubjectToken(context.Context) (Token, error) {
	raw, ok := os.LookupEnv(e.Name)
	if !ok {
		return Token{}, fail(e.source(), errors.New("not set"))
	}
	value, err := decode([]byte(raw), e.JSONField)
	if err != nil {
		return Token{}, fail(e.source(), err)
	}
	t, err := newToken(value, e.Type, noExpiry)
	if err != nil {
		return Token{}, fail(e.source(), err)
	}
	return t, nil
}

// Validate reports all that is wrong with e. It does not read the variable.
func (e Env) Validate() error {
	var errs []error
	if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") {
		errs = append(errs, errors.New("field Name is not the name of an environment variable"))
	}
	return invalid(e.source(), append(errs, checkField(e.JSONField), checkType(e.Type))...)
}

// String returns a description that names the variable.
func (e Env) String() string { return "subjecttoken.Env(" + e.Name + ")" }

func (e Env) source() string { return "environment variable " + e.Name }
