package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out); err != nil {
		t.Fatal(err)
	}
	want := `before:
  log: GET /before, authorized: false, 401
  401 Unauthorized
after:
  log: GET /after, authorized: true, 200
  200 OK
  log: GET /after, authorized: true, 200
  200 OK
timeout 5s, exchanges 1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}
