// Package bench measures the library beside the packages that people use in its
// place: golang.org/x/oauth2, cloud.google.com/go/auth, aws-sdk-go-v2's cache of
// credentials, and azidentity with azcore. It is a module of its own, so that
// the library requires none of them.
//
// One command, run in this directory, measures everything and writes
// RESULTS.md and latency.svg:
//
//	go run ./cmd/compare
//
// Each row can be had alone, by the line that is printed under its table: rows
// are benchmarks of this package. What is asserted, by go test, are counts
// (allocations, exchanges, callers that waited), never times.
package bench
