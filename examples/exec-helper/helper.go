package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-sts/sts/subjecttoken"
)

// response is what a helper prints: version 1 of the protocol. On success it has
// the token, and with an output file the expiry must be there; a failure has a
// code for programs and a message for people.
type response struct {
	Version        int    `json:"version"`
	Success        bool   `json:"success"`
	TokenType      string `json:"token_type,omitempty"`
	IDToken        string `json:"id_token,omitempty"`
	ExpirationTime int64  `json:"expiration_time,omitempty"` // Unix time, in seconds
	Code           string `json:"code,omitempty"`
	Message        string `json:"message,omitempty"`
}

// helper prints a response. Its parameters are in the environment; its flags are
// for the demo alone. It ends with status 0 after a failure, too: Google's own
// libraries look into the response only then.
func helper(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("exec-helper token", flag.ExitOnError)
	fail := fs.Bool("fail", false, "report a failure")
	hang := fs.String("hang", "", "never answer, and start a child that connects to this address")
	child := fs.String("child", "", "be that child")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case *hang != "":
		return startChild(ctx, *hang)
	case *child != "":
		return stay(*child)
	case *fail:
		return json.NewEncoder(out).Encode(failure("LOGIN_REQUIRED", "run 'example login' first"))
	}
	r := answer(os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"), os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"))
	if file := os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"); file != "" && r.Success {
		if err := keep(file, r); err != nil {
			fmt.Fprintln(os.Stderr, err) // whoever runs the helper shows it; the token is good
		}
	}
	return json.NewEncoder(out).Encode(r)
}

func failure(code, message string) response {
	return response{Version: 1, Code: code, Message: message}
}

// answer does what it is asked for, without asking anybody:
// GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE is 0, as nobody sits there.
func answer(audience, tokenType string) response {
	if audience == "" {
		return failure("NO_AUDIENCE", "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE does not say whom the token is for")
	}
	if tokenType == "" {
		tokenType = subjecttoken.TypeJWT
	}
	if tokenType != subjecttoken.TypeJWT && tokenType != subjecttoken.TypeIDToken {
		return failure("TOKEN_TYPE", "there are JSON Web Tokens only, not "+tokenType)
	}
	expiry := time.Now().Add(10 * time.Minute)
	return response{Version: 1, Success: true, TokenType: tokenType, IDToken: mint(audience, expiry), ExpirationTime: expiry.Unix()}
}

type claims struct {
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	Expiry   int64  `json:"exp"`
}

// mint returns an unsigned token. This is what a real helper does otherwise: it
// asks an agent, a hardware key or an identity provider.
func mint(audience string, expiry time.Time) string {
	payload, _ := json.Marshal(claims{"exec-helper", audience, rand.Text(), expiry.Unix()})
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(payload) + "."
}

// keep writes a response to the output file, which is read instead of running
// the helper until the token has expired. Only this user may read it, and a
// reader never sees half of it.
func keep(file string, r response) error {
	next, err := os.CreateTemp(filepath.Dir(file), ".response-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // what is left after an error
	err = json.NewEncoder(next).Encode(r)
	if closeErr := next.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}

// startChild starts another process, as a helper that is a script does, and
// waits for it.
func startChild(ctx context.Context, address string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "token", "-child", address)
	child.Stdout = os.Stdout // and holds on to the pipe that is read from
	fmt.Fprintln(os.Stderr, "waiting for an answer that does not come")
	return child.Run()
}

// stay holds a connection open until the other end closes it: whoever is there
// sees when this process ends.
func stay(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(io.Discard, conn)
	return err
}
