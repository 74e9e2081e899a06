package gcp

// What no request shows.
var VersionIn = versionIn
