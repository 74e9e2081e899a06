package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

const audience = "https://sts.example.com"

// demo runs this program as the helper, in front of an embedded token service.
func demo(ctx context.Context, o options, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "exec-helper-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	service := &ststest.Handler{Accept: accept}
	sts := ststest.NewServer(service)
	defer sts.Close()
	o.tokenURL, o.audience, o.outputFile = sts.TokenURL, audience, filepath.Join(dir, "response.json")
	fmt.Fprintln(out, "No -command: this program is its own helper, and a token service was started on this machine.")

	if err := succeed(ctx, o, []string{self, "token"}, service, out); err != nil {
		return err
	}
	o.outputFile = "" // from now on the helper runs each time
	fmt.Fprintln(out, "\nA helper that reports a failure:")
	if err := refused(ctx, o, []string{self, "token", "-fail"}, out); err != nil {
		return err
	}
	return hang(ctx, o, self, out)
}

// succeed makes two exchanges with a helper that works.
func succeed(ctx context.Context, o options, command []string, service *ststest.Handler, out io.Writer) error {
	for _, title := range []string{"A helper that works:", "Again, in a program that was started anew:"} {
		fmt.Fprintf(out, "\n%s\n", title)
		src, err := newSource(o, command)
		if err != nil {
			return err
		}
		if err := use(ctx, src, out); err != nil {
			return err
		}
	}
	requests := service.Requests()
	if requests[0].Params.Get("subject_token") != requests[1].Params.Get("subject_token") {
		return errors.New("the helper was run although its answer was in the output file")
	}
	fmt.Fprintln(out, "  the helper was not run: its answer was in the output file")
	return nil
}

// refused runs a helper that gives no token, and prints the error.
func refused(ctx context.Context, o options, command []string, out io.Writer) error {
	_, err := provider(o, command).SubjectToken(ctx)
	if err == nil {
		return errors.New("there is a token, although the helper gave none")
	}
	fmt.Fprintf(out, "  %v\n", err)
	return nil
}

// hang runs a helper that never answers, and looks what becomes of the child
// that it has started.
func hang(ctx context.Context, o options, self string, out io.Writer) error {
	fmt.Fprintln(out, "\nA helper that hangs:")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	children := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			children <- conn
		}
	}()
	if o.timeout == 0 {
		o.timeout = time.Second
	}
	if err := refused(ctx, o, []string{self, "token", "-hang", listener.Addr().String()}, out); err != nil {
		return err
	}
	select {
	case child := <-children:
		defer child.Close()
		_ = child.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := child.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Fprintln(out, "  its child goes on: only Unix can stop both")
			return nil // it ends with this connection
		}
		fmt.Fprintln(out, "  its child was stopped as well")
	default:
		fmt.Fprintln(out, "  it had no time to start a child: try a longer -timeout")
	}
	return nil
}

// accept is what the token service makes of a subject token. A real one checks
// the signature first of all.
func accept(token string) error {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("the subject token is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err == nil && c.Audience != audience {
		err = fmt.Errorf("the subject token is for %s, not for %s", c.Audience, audience)
	}
	return err
}
