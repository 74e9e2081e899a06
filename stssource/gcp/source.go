package gcp

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/subjecttoken"
)

// Limits on a program's time to run, in milliseconds (AIP-4117).
const (
	minTimeoutMillis = 5_000
	maxTimeoutMillis = 120_000
)

// readSource reads credential_source. It returns nil if that is not usable.
func readSource(o object, c Config) subjecttoken.Provider {
	s, ok := o.child("credential_source")
	if !ok {
		if !o.has("credential_source") {
			o.add("credential_source", "is missing")
		}
		return nil
	}
	before := len(*o.wrong)
	p := readProvider(s, c)
	if p == nil || len(*o.wrong) > before {
		return nil
	}
	o.wrong.join("credential_source", validate(p))
	return p
}

// readProvider reads the one source that there must be. Google's libraries
// differ in what they make of two; here that is an error, since nobody knows
// which one was meant.
func readProvider(s object, c Config) subjecttoken.Provider {
	switch {
	case s.has("environment_id"):
		s.add("environment_id", "%.40q makes it a source of AWS credentials, which is not supported yet: set Config.SubjectToken "+
			"to a subjecttoken.Func that signs the request", s.text("environment_id"))
		return nil
	case s.has("certificate"):
		s.add("certificate", "is a source that is not supported yet: set Config.SubjectToken to a subjecttoken.X509, Endpoint.MTLS, and an "+
			"HTTPClient that has the key")
		return nil
	}
	var kinds []string
	for _, name := range []string{"file", "url", "executable"} {
		if s.has(name) {
			kinds = append(kinds, name)
		}
	}
	whole := strings.TrimSuffix(s.path, ".")
	if len(kinds) == 0 {
		s.wrong.add(whole, "has none of file, url and executable")
		return nil
	}
	if len(kinds) > 1 {
		s.wrong.add(whole, "has %s: there must be one of them", strings.Join(kinds, " and "))
		return nil
	}
	switch kinds[0] {
	case "file":
		return subjecttoken.File{Path: s.required("file"), Type: c.SubjectTokenType, JSONField: readFormat(s)}
	case "url":
		return readURL(s, c)
	}
	return readExecutable(s, c)
}

func readURL(s object, c Config) subjecttoken.Provider {
	u := subjecttoken.URL{URL: s.required("url"), Type: c.SubjectTokenType, JSONField: readFormat(s)}
	if u.URL != "" {
		_, err := safehttp.CheckURL(u.URL, safehttp.PlainLinkLocal)
		s.wrong.join(s.path+"url", err)
	}
	if headers, ok := s.child("headers"); ok {
		u.Header = make(http.Header)
		for _, name := range headers.names() {
			u.Header.Set(name, headers.text(name))
		}
	}
	return u
}

// readFormat returns where the token is in what the source gives: the name of a
// JSON member, or empty for text. A type that is null is an error, since it is
// most likely a mistake of whatever wrote the file.
func readFormat(s object) (field string) {
	f, ok := s.child("format")
	if !ok {
		return ""
	}
	if v, ok := f.members["type"]; ok && v == nil {
		f.add("type", "is null: set it to text or json, or leave it out")
		return ""
	}
	const member = "subject_token_field_name"
	switch t := f.text("type"); t {
	case "json":
		return memberName(f.required(member))
	case "text", "":
		if f.has(member) {
			f.add(member, "belongs to the type json")
		}
	default:
		f.add("type", "%.40q is neither text nor json", t)
	}
	return ""
}

// memberName returns name as a JSONField, where a slash at the beginning makes
// it a pointer.
func memberName(name string) string {
	if !strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func readExecutable(s object, c Config) subjecttoken.Provider {
	x, ok := s.child("executable")
	if !ok {
		return nil
	}
	p := subjecttoken.Exec{
		Format:          subjecttoken.FormatGoogle,
		Type:            c.SubjectTokenType,
		Timeout:         readTimeout(x),
		OutputFile:      x.text("output_file"),
		Audience:        c.Audience,
		RequireAllowEnv: true, // the command is the file's, not the caller's
	}
	if c.Impersonate != nil {
		p.ImpersonatedEmail = c.Impersonate.ServiceAccount
	}
	if command := x.required("command"); command != "" {
		argv, err := subjecttoken.ParseCommand(command)
		x.wrong.join(x.path+"command", err)
		p.Command = argv
	}
	return p
}

func readTimeout(x object) time.Duration {
	const name = "timeout_millis"
	millis, ok := x.whole(name)
	switch {
	case !ok:
		return 0 // 30 seconds
	case millis < minTimeoutMillis:
		x.add(name, "%d is less than %d", millis, minTimeoutMillis)
		return 0
	case millis > maxTimeoutMillis:
		x.add(name, "%d is more than %d", millis, maxTimeoutMillis)
		return 0
	}
	return time.Duration(millis) * time.Millisecond
}
