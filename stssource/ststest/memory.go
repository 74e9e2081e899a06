package ststest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// RoundTripper returns a transport that passes requests to h in memory; see the
// function [RoundTripper].
func (h *Handler) RoundTripper() http.RoundTripper { return RoundTripper(h) }

// RoundTripper returns a transport that passes every request to handler in
// memory, whatever its URL. Let handler be an [http.ServeMux] with host
// patterns to tell a token service and an API apart. No socket is opened, and
// nothing outlives a request, so it works in a bubble of [testing/synctest].
//
// It behaves as a connection does: the request's context limits the wait for
// the answer and the reading of it, and bodies are streamed. A response body
// that is neither read to its end nor closed keeps a goroutine, which a bubble
// reports. A handler that panics ends the program.
func RoundTripper(handler http.Handler) http.RoundTripper { return memory{handler} }

type memory struct{ handler http.Handler }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &closeOnce{ReadCloser: r.Body}
	ctx, cancel := context.WithCancel(r.Context())
	in, err := serverRequest(ctx, r, body)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel()
		_ = body.Close()
		return nil, err
	}
	c := &conn{head: r.Method == http.MethodHead, header: make(http.Header), ready: make(chan struct{}), cancel: cancel}
	c.pr, c.pw = io.Pipe()
	stop := context.AfterFunc(r.Context(), func() { c.pw.CloseWithError(context.Cause(r.Context())) })
	go func() {
		defer cancel()
		defer stop()
		c.serve(m.handler, in)
	}()
	select {
	case <-c.ready:
	case <-r.Context().Done():
	}
	// Asked again, because a handler that gives up returns as if it had
	// answered.
	if r.Context().Err() != nil {
		_ = body.Close()
		return nil, context.Cause(r.Context())
	}
	if c.err != nil {
		return nil, c.err
	}
	c.response.Request = r
	return c.response, nil
}

// serverRequest is r as a server would see it.
func serverRequest(ctx context.Context, r *http.Request, body io.ReadCloser) (*http.Request, error) {
	if r.URL == nil {
		return nil, fmt.Errorf("ststest: the request has no URL")
	}
	target, err := url.ParseRequestURI(r.URL.RequestURI())
	if err != nil {
		return nil, fmt.Errorf("ststest: %w", err)
	}
	in := r.Clone(ctx)
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if in.Header == nil {
		in.Header = make(http.Header)
	}
	in.URL, in.RequestURI, in.RemoteAddr = target, r.URL.RequestURI(), "memory"
	in.Body, in.GetBody, in.Response = body, nil, nil
	return in, nil
}

// closeOnce lets the handler's goroutine and a cancelled RoundTrip both close
// a request's body, which may be nil.
type closeOnce struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *closeOnce) Read(p []byte) (int, error) {
	if c.ReadCloser == nil {
		return 0, io.EOF
	}
	return c.ReadCloser.Read(p)
}

func (c *closeOnce) Close() error {
	c.once.Do(func() {
		if c.ReadCloser != nil {
			c.err = c.ReadCloser.Close()
		}
	})
	return c.err
}

// conn is the server's end of one request and its answer. The handler's
// goroutine alone uses it until ready is closed; then the client has response
// or err, and reads the body from the pipe.
type conn struct {
	head     bool // the method of the request, whose answer has no body
	header   http.Header
	ready    chan struct{}
	response *http.Response // nil until the header is sent
	err      error          // why there is no response
	length   int64          // promised by Content-Length; -1: nothing was
	written  int64
	pr       *io.PipeReader
	pw       *io.PipeWriter
	cancel   context.CancelFunc // ends the context of the handler
}

func (c *conn) serve(handler http.Handler, r *http.Request) {
	defer r.Body.Close()
	returned := false
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
		// Not returned: a panic, or runtime.Goexit by a test's FailNow.
		if !returned || !c.finish() {
			c.abort(cmp.Or(context.Cause(r.Context()), io.ErrUnexpectedEOF))
		}
	}()
	handler.ServeHTTP(c, r)
	returned = true
}

// Header is part of http.ResponseWriter.
func (c *conn) Header() http.Header { return c.header }

// WriteHeader is part of http.ResponseWriter. It sends the header.
func (c *conn) WriteHeader(status int) {
	if c.response != nil || c.err != nil || status < 200 {
		return
	}
	c.length = -1
	if n, err := strconv.ParseInt(c.header.Get("Content-Length"), 10, 64); err == nil {
		c.length = n
	}
	if !hasBody(status) {
		c.length = 0
	}
	c.response = &http.Response{
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        c.header.Clone(),
		Body:          &responseBody{c.pr, c.cancel},
		ContentLength: c.length,
	}
	close(c.ready)
}

// Write is part of http.ResponseWriter. It returns when the client has read p
// or closed the body. What would be the body of a HEAD is dropped.
func (c *conn) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	if len(p) == 0 || c.head {
		return len(p), nil // a pipe would wait for a reader even so
	}
	if c.response != nil && !hasBody(c.response.StatusCode) {
		return 0, http.ErrBodyNotAllowed
	}
	n, err := c.pw.Write(p)
	c.written += int64(n)
	return n, err
}

// hasBody reports whether answers with this status have one.
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// Flush is part of http.Flusher. There is nothing to flush but the header.
func (c *conn) Flush() { c.WriteHeader(http.StatusOK) }

// finish ends the answer of a handler that has returned, unless it has sent
// less than it promised.
func (c *conn) finish() bool {
	c.WriteHeader(http.StatusOK)
	if c.written < c.length && !c.head {
		return false
	}
	_ = c.pw.Close()
	return true
}

// abort has the client get err in place of an answer or of the rest of it.
func (c *conn) abort(err error) {
	if c.response == nil && c.err == nil {
		c.err = err
		close(c.ready)
	}
	_ = c.pw.CloseWithError(err)
}

// reset has the client see what it sees when a real connection is reset.
func (c *conn) reset() {
	c.abort(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)})
}

// responseBody tells the handler when the client has had enough.
type responseBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *responseBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
