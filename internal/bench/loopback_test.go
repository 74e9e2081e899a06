package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loopback is a token service on a loopback port, over HTTP/1.1. It reads
// requests and writes one answer without allocating, so that what is counted is
// the client's.
type loopback struct {
	listener net.Listener
	client   *http.Client // keeps its connection, and counts into the wire fields
	answer   []byte
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool

	sent, received, dials, exchanges atomic.Int64
}

// newLoopback starts a service that ends with tb.
func newLoopback(tb testing.TB, secure bool, body string) *loopback {
	s := &loopback{
		listener: must(tb, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }),
		answer:   response(body),
		conns:    make(map[net.Conn]bool),
	}
	transport := &http.Transport{DialContext: s.dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	if secure {
		// For its certificate, which 127.0.0.1 is in.
		borrowed := httptest.NewTLSServer(nil)
		borrowed.Close()
		s.listener = tls.NewListener(s.listener, &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS13})
		trusted := borrowed.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}
	}
	s.client = &http.Client{Transport: transport, Timeout: 15 * time.Second}
	s.serving.Go(s.accept)
	tb.Cleanup(s.close)
	return s
}

// response is what the service writes for this body.
func response(body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func (s *loopback) close() {
	s.client.CloseIdleConnections()
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// dial connects with a connection that counts.
func (s *loopback) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.dials.Add(1)
	return counted{c, s}, nil
}

// counted counts the bytes of a client's connection, those of TLS included.
type counted struct {
	net.Conn
	service *loopback
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.service.received.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.service.sent.Add(int64(n))
	return n, err
}

func (s *loopback) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.serving.Go(func() {
			defer c.Close()
			s.serve(c)
		})
	}
}

func (s *loopback) serve(c net.Conn) {
	discovered := response(discovery(s.listener.Addr().String()))
	in := bufio.NewReader(c)
	for {
		isDiscovery, err := readRequest(in)
		if err != nil {
			return
		}
		out := s.answer
		if isDiscovery {
			out = discovered
		} else {
			s.exchanges.Add(1)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

var (
	contentLength = []byte("Content-Length: ")
	getMethod     = []byte("GET ")
)

// readRequest reads one request, and reports whether it is a GET, which nothing
// but azidentity's discovery is.
func readRequest(in *bufio.Reader) (isGet bool, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if first {
			isGet = bytes.HasPrefix(line, getMethod)
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, err
			}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	if n, err := in.Discard(length); err != nil || n != length {
		return false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return isGet, nil
}

// url returns the service's token URL.
func (s *loopback) url(secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String() + "/v1/token"
}
