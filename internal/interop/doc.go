// Package interop tests the library against servers and clients that others
// have written: Dex and zitadel's OpenID provider as token services; Cloud
// Storage's client, gRPC and Google's credential libraries as users of tokens;
// Tink, which opens what the library sealed; and toxiproxy as a bad network in
// between. It is a module of its own, so that the library requires none of them.
//
// Run it in this directory with
//
//	go test ./...
//
// Every server runs in the test's process, on a loopback port that the system
// chooses, and ends with its test; only loopback is used. The first run
// downloads about 750 MB of modules and compiles them. The test of a long run
// takes its time, which -short cuts down.
package interop
