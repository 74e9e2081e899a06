package ststest

import (
	"cmp"
	"net/http"
	"net/http/httptest"
)

// Server is a [Handler] that is served on a loopback port.
type Server struct {
	*httptest.Server

	// Handler is the handler that is served.
	Handler *Handler

	// TokenURL is the URL of the token endpoint, in Google mode that of v1
	// unless Handler.Path is another.
	TokenURL string
}

// NewServer returns a Server of h over plain HTTP, which runs until
// [Server.Close] is called. If h is nil, it is a new zero Handler.
func NewServer(h *Handler) *Server { return newServer(h, httptest.NewServer) }

// NewTLSServer is [NewServer] over TLS. The client that its method Client
// returns trusts the certificate.
func NewTLSServer(h *Handler) *Server { return newServer(h, httptest.NewTLSServer) }

// Close stops the server. It closes the connections of clients first, so that
// it does not wait for a Reply that hangs.
func (s *Server) Close() {
	s.CloseClientConnections()
	s.Server.Close()
}

func newServer(h *Handler, start func(http.Handler) *httptest.Server) *Server {
	if h == nil {
		h = new(Handler)
	}
	s := &Server{Server: start(h), Handler: h}
	path := "/token"
	if h.Mode == Google {
		path = "/v1/token"
	}
	s.TokenURL = s.URL + cmp.Or(h.Path, path)
	return s
}
