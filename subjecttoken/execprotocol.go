package subjecttoken

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
)

// The environment variables of Google's executable protocol.
const (
	envAudience     = "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"
	envTokenType    = "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"
	envInteractive  = "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE"
	envImpersonated = "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL"
	envOutputFile   = "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"
	envID           = "GOOGLE_EXTERNAL_ACCOUNT_ID"     // these two are set by
	envRevoke       = "GOOGLE_EXTERNAL_ACCOUNT_REVOKE" // Google's library for Python alone
	envKubernetes   = "KUBERNETES_EXEC_INFO"
)

// kubernetesInfo says that nobody is there to answer questions.
const kubernetesInfo = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`

// environ returns the program's environment. Of two entries with one name the
// last counts, so the protocol's own are after Env.
func (e Exec) environ(inherited []string) []string {
	env := append([]string(nil), inherited...)
	switch e.Format {
	case FormatGoogle:
		env = append(dropProtocol(env), e.Env...)
		env = append(env, e.googleEnv()...)
	case FormatKubernetes:
		env = append(append(env, e.Env...), envKubernetes+"="+kubernetesInfo)
	default:
		env = append(env, e.Env...)
	}
	return env
}

// dropProtocol removes the variables of a protocol run that this process is
// itself part of: whom that impersonates, or revokes, is not whom we do.
func dropProtocol(env []string) []string {
	var kept []string
	for _, entry := range env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case envAudience, envTokenType, envInteractive, envImpersonated, envOutputFile, envID, envRevoke:
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

func (e Exec) googleEnv() []string {
	env := []string{envInteractive + "=0"}
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add(envAudience, e.Audience)
	add(envTokenType, e.Type)
	add(envImpersonated, e.ImpersonatedEmail)
	add(envOutputFile, e.OutputFile)
	return env
}

// response is what a program of Google's protocol writes. A pointer that is
// nil is a member that is missing, which is not the same as zero.
type response struct {
	Version        *int     `json:"version"`
	Success        *bool    `json:"success"`
	TokenType      string   `json:"token_type"`
	IDToken        string   `json:"id_token"`
	SAMLResponse   string   `json:"saml_response"`
	ExpirationTime *float64 `json:"expiration_time"` // some write it with a fraction
	Code           string   `json:"code"`
	Message        string   `json:"message"`
}

var (
	errExpired = errors.New("the token has expired")
	errFailure = errors.New("the program reports a failure")
	errType    = errors.New("the token is of another type")
)

// readResponse decodes a response and checks its version, without which the
// rest means nothing.
func readResponse(raw []byte) (response, error) {
	var r response
	switch err := decodeObject(raw, &r); {
	case errors.Is(err, errNotJSON):
		return r, fmt.Errorf("%w: the program has to write it as https://google.aip.dev/auth/4117 says", err)
	case err != nil:
		return r, err
	}
	switch {
	case r.Version == nil:
		return r, errors.New(`the response has no "version"`)
	case *r.Version != 1:
		return r, fmt.Errorf(`the response has "version" %d: only version 1 is understood`, *r.Version)
	case r.Success == nil:
		return r, errors.New(`the response has no "success"`)
	}
	return r, nil
}

// decodeObject decodes the JSON object raw into v, with errors that do not
// quote it.
func decodeObject(raw []byte, v any) error {
	if len(raw) > maxSize {
		return errTooBig
	}
	doc, err := parseJSON(raw)
	if err != nil {
		return fmt.Errorf("the response is not understood: %w", err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return fmt.Errorf("the response is not understood: %w: %s instead of an object", errNotJSON, kind(doc))
	}
	err = json.Unmarshal([]byte(trim(string(raw))), v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		got, _, _ := strings.Cut(wrong.Value, " ") // "number 1.5" holds the value
		return fmt.Errorf("the response has a %s where %q needs another type", got, wrong.Field)
	}
	if err != nil {
		return fmt.Errorf("the response is not understood: %w", errNotJSON)
	}
	return nil
}

// failed reports whether r is a complete report of a failure.
func (r response) failed() bool { return !*r.Success && r.Code != "" && r.Message != "" }

func (e Exec) parseGoogle(raw []byte) (Token, error) {
	r, err := readResponse(raw)
	switch {
	case err != nil:
		return Token{}, err
	case r.failed():
		return Token{}, because(errFailure, "%s", e.failure(r))
	case !*r.Success:
		return Token{}, because(errFailure, `the response has "success" false, but not both "code" and "message"`)
	}
	return e.responseToken(r)
}

// failure shows a program's report of a failure.
func (e Exec) failure(r response) string {
	secrets := redact.New(append(e.secretValues(), r.IDToken, r.SAMLResponse)...)
	return fmt.Sprintf("the program reports a failure: code %q: %s", secrets.Text(r.Code, 64), secrets.Text(r.Message, 512))
}

// responseToken returns the token of a response that reports success.
func (e Exec) responseToken(r response) (Token, error) {
	member, value := "id_token", r.IDToken
	switch r.TokenType {
	case "":
		return Token{}, errors.New(`the response has no "token_type"`)
	case TypeJWT, TypeIDToken:
	case TypeSAML2:
		member, value = "saml_response", r.SAMLResponse
	default:
		return Token{}, fmt.Errorf(`the response has a "token_type" that is none of %s, %s and %s`, TypeJWT, TypeIDToken, TypeSAML2)
	}
	typ := cmp.Or(e.Type, r.TokenType)
	if typ != r.TokenType && !(isOIDC(typ) && isOIDC(r.TokenType)) {
		return Token{}, because(errType, "the program gives a token of type %s, where Type asks for %s", r.TokenType, e.Type)
	}
	expiry, err := e.responseExpiry(r)
	switch {
	case errors.Is(err, errExpired) && value == "":
		return Token{}, because(errExpired, "the response has no %q, and has expired, at %s", member, expiry.UTC().Format(time.RFC3339))
	case err != nil:
		return Token{}, err
	case value == "":
		return Token{}, fmt.Errorf("the response has no %q: empty or missing token", member)
	}
	t, err := newToken(value, typ, expiry)
	if err != nil {
		return Token{}, fmt.Errorf("%q in the response: %w", member, err)
	}
	return t, nil
}

// isOIDC reports whether a token of this type is what an OpenID Connect provider
// issues. Both types are in use for it: credential files often say jwt, and
// the sample program of the protocol's documentation says id_token.
func isOIDC(typ string) bool { return typ == TypeJWT || typ == TypeIDToken }

func (e Exec) responseExpiry(r response) (time.Time, error) {
	const year10000 = 253402300800
	switch {
	case r.ExpirationTime == nil && e.OutputFile != "":
		return noExpiry, errors.New(`the response has no "expiration_time", which an OutputFile needs`)
	case r.ExpirationTime == nil:
		return noExpiry, nil
	case *r.ExpirationTime >= year10000:
		return noExpiry, errors.New(`"expiration_time" in the response is after the year 9999: it is in seconds`)
	}
	expiry := time.Unix(int64(max(*r.ExpirationTime, 0)), 0)
	return expiry, checkExpiry(expiry)
}

// checkExpiry refuses a token that has ended. Without skew: how much life is
// worth an exchange is for whoever uses the token to say.
func checkExpiry(expiry time.Time) error {
	if left := time.Until(expiry); left <= 0 {
		return because(errExpired, "the program gives a token that has expired, at %s", expiry.UTC().Format(time.RFC3339))
	}
	return nil
}

// parseKubernetes reads an ExecCredential.
func (e Exec) parseKubernetes(raw []byte) (Token, error) {
	var c struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     *struct {
			Token               string `json:"token"`
			ExpirationTimestamp string `json:"expirationTimestamp"`
		} `json:"status"`
	}
	if err := decodeObject(raw, &c); err != nil {
		return Token{}, err
	}
	const group = "client.authentication.k8s.io/"
	switch {
	case c.Kind != "ExecCredential":
		return Token{}, errors.New(`"kind" in the response is not "ExecCredential"`)
	case c.APIVersion != group+"v1" && c.APIVersion != group+"v1beta1":
		return Token{}, fmt.Errorf(`"apiVersion" in the response is neither %sv1 nor %sv1beta1`, group, group)
	case c.Status == nil || c.Status.Token == "":
		return Token{}, fmt.Errorf(`"status.token" in the response: %w`, errEmpty)
	}
	expiry := noExpiry
	if s := c.Status.ExpirationTimestamp; s != "" {
		var err error
		if expiry, err = time.Parse(time.RFC3339, s); err != nil {
			return Token{}, errors.New(`"status.expirationTimestamp" in the response is not a time of RFC 3339`)
		}
		if err := checkExpiry(expiry); err != nil {
			return Token{}, err
		}
	}
	return newToken(c.Status.Token, e.Type, expiry)
}
