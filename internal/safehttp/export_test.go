package safehttp

// Shared is the transport of clients that bring none.
var Shared = shared
