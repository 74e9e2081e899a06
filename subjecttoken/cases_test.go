package subjecttoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// elsewhere has the cases that this package does not decide.
var elsewhere = map[string]string{
	"exec-timeout-120001": "the upper limit is that of credential files; an Exec written in Go may run for up to 10 minutes",
	"exec-timeout-zero":   "a zero Timeout is the default; that a credential file must not say 0 is for its reader to check",
}

// decided has the cases that are decided otherwise here.
var decided = map[string]string{
	"outfile-not-json": "an output file that was cut short would be an error at every call until somebody deletes it; " +
		"running the program is always safe, and mends it",
}

type testCase struct {
	ID     string
	Origin string
	Area   string
	Input  struct {
		// subject.*
		Content  *string
		Contents []string `json:"contents_over_time"`
		Path     string
		Format   *format
		Headers  map[string]string
		Response *struct {
			Status int
			JSON   json.RawMessage
		}
		TransportError string `json:"transport_error"`
		// exec.*
		Command          string
		Executable       json.RawMessage
		TimeoutMillis    int `json:"timeout_millis"`
		Audience         string
		SubjectTokenType string            `json:"subject_token_type"`
		ImpersonationURL string            `json:"service_account_impersonation_url"`
		OutputFile       string            `json:"output_file"`
		InheritedEnv     map[string]string `json:"inherited_env"`
		Now              int64
		ExitCode         int `json:"exit_code"`
		Stdout           string
		StdoutJSON       json.RawMessage `json:"stdout_json"`
		Process          string
		StdoutBytes      int             `json:"stdout_bytes"`
		OutputContent    *string         `json:"output_file_content"`
		ExecutableStdout json.RawMessage `json:"executable_stdout_json"`
	}
	Expected struct {
		SubjectToken string   `json:"subject_token"`
		Sent         []string `json:"sent_subject_tokens"`
		TimeoutMS    int      `json:"timeout_ms"`
		Argv         []string
		Env          map[string]string
		EnvAbsent    []string `json:"env_absent"`
		Executions   *int
		Error        *caseError
	}
}

type format struct {
	Type  string
	Field string `json:"subject_token_field_name"`
}

type caseError struct {
	Kind        string
	Mentions    []string
	Status      int
	UnwrapsTo   string `json:"unwraps_to"`
	ErrorsIs    string `json:"errors_is"`
	Code        string
	Message     string
	ExitCode    int `json:"exit_code"`
	Signal      string
	ChildKilled bool `json:"child_killed"`
}

func (c testCase) field() string {
	if c.Input.Format == nil {
		return ""
	}
	return c.Input.Format.Field
}

// TestCases runs what the test suites of the other libraries and the
// specifications say, each case as its origin has it.
func TestCases(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	areas := map[string]func(*testing.T, testCase){
		"subject.file":    fileCase,
		"subject.url":     urlCase,
		"exec.config":     configCase,
		"exec.env":        envCase,
		"exec.response":   responseCase,
		"exec.process":    processCase,
		"exec.outputfile": outputFileCase,
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			if reason := elsewhere[c.ID]; reason != "" {
				t.Skip(reason)
			}
			if reason := decided[c.ID]; reason != "" {
				t.Log("decided otherwise:", reason)
				c.Expected.Error, c.Expected.SubjectToken, *c.Expected.Executions = nil, "FROM_EXEC", 1
			}
			run := areas[c.Area]
			if run == nil {
				t.Fatalf("nothing runs the area %s", c.Area)
			}
			run(t, c)
		})
	}
}

// verdict compares what a provider gave with what the case expects.
func verdict(t *testing.T, c testCase, got subjecttoken.Token, err error) {
	t.Helper()
	want := c.Expected.Error
	if want == nil {
		if err != nil || got.Value != c.Expected.SubjectToken {
			t.Errorf("SubjectToken() = %q, %v; want %q", got.Value, err, c.Expected.SubjectToken)
		}
		return
	}
	kinds := map[string]string{ // what tells one kind from another
		"exec.expired":      "has expired",
		"exec.version":      "only version 1",
		"exec.malformed":    "response",
		"exec.outputfile":   "output file",
		"exec.unsuccessful": "reports a failure",
	}
	texts := append(want.Mentions, kinds[want.Kind], want.Code, want.Message)
	e := refused(t, err, texts...)
	if e.StatusCode != want.Status {
		t.Errorf("StatusCode = %d, want %d", e.StatusCode, want.Status)
	}
	causes := map[string]error{"fs.ErrNotExist": fs.ErrNotExist, "context.DeadlineExceeded": context.DeadlineExceeded}
	for _, name := range []string{want.UnwrapsTo, want.ErrorsIs} {
		if name != "" && !errors.Is(err, causes[name]) {
			t.Errorf("error %v is not %s", err, name)
		}
	}
}

func fileCase(t *testing.T, c testCase) {
	file := subjecttoken.File{Path: c.Input.Path, JSONField: c.field()}
	if c.Input.Path == "" {
		file.Path = filepath.Join(t.TempDir(), "token")
	}
	if len(c.Input.Contents) > 0 {
		var sent []string
		for _, content := range c.Input.Contents {
			writeFile(t, file.Path, content)
			got, err := file.SubjectToken(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, got.Value)
		}
		if diff := cmp.Diff(c.Expected.Sent, sent); diff != "" {
			t.Errorf("tokens mismatch (-want +got):\n%s", diff)
		}
		return
	}
	if c.Input.Content != nil {
		writeFile(t, file.Path, *c.Input.Content)
	}
	got, err := file.SubjectToken(t.Context())
	verdict(t, c, got, err)
}

func urlCase(t *testing.T, c testCase) {
	if c.Expected.Error != nil && c.Expected.Error.Status == 0 && c.Input.Response != nil {
		c.Expected.Error.Status = c.Input.Response.Status // the answer was refused, but there was one
	}
	synctest.Test(t, func(t *testing.T) {
		u := subjecttoken.URL{URL: "https://token.test/", Header: http.Header{}, JSONField: c.field()}
		for name, value := range c.Input.Headers {
			u.Header.Set(name, value)
		}
		u.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			for name, value := range c.Input.Headers {
				if got := r.Header.Get(name); got != value {
					t.Errorf("header %s = %q, want %q", name, got, value)
				}
			}
			if c.Input.TransportError != "" {
				return nil, io.ErrUnexpectedEOF
			}
			return answer(c.Input.Response.Status, string(c.Input.Response.JSON)), nil
		})}
		got, err := u.SubjectToken(t.Context())
		verdict(t, c, got, err)
	})
}
