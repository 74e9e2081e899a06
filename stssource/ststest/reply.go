package ststest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Reply is one answer of a script; see [Handler.Script]. The zero Reply is the
// normal answer. A Reply that says what to send is sent even if the request
// breaks a rule.
type Reply struct {
	// Status is the HTTP status. If zero, it is 307 with Redirect, 400 with
	// Error, and 200 with Body; without any of them the answer is the normal
	// one. A Status alone is an answer without a body or, if it is an error
	// status in Google mode, with a google.rpc.Status.
	Status int

	// Header is added to the answer, in place of fields of the same names. If
	// nil, nothing is.
	Header http.Header

	// Body is the body, sent as it is. Its Content-Type is that of JSON if it
	// is JSON, and plain text otherwise, unless Header has one.
	Body string

	// Error is an OAuth error code, such as invalid_grant, and Description its
	// error_description. If Error is not empty, the body is the JSON object of
	// RFC 6749, section 5.2; an empty Description is left out of it.
	Error, Description string

	// Redirect is the Location of a redirect. If empty, there is none.
	Redirect string

	// RetryAfter is the value of the Retry-After header: a number of seconds,
	// or a date. If empty, there is none.
	RetryAfter string

	// Lifetime is that of the token in a normal answer, as Handler.Lifetime has
	// it. If zero, it is Handler.Lifetime.
	Lifetime time.Duration

	// Members are added to a normal answer, in place of members of the same
	// names. A nil value removes the member.
	Members map[string]any

	// Delay is how long this answer is held back. If zero, it is Handler.Delay.
	Delay time.Duration

	// Hang leaves the request without an answer until it is cancelled or the
	// connection is closed.
	Hang bool

	// Stall sends the header and half of the body, and then does as Hang does.
	Stall bool

	// Truncate sends the header and half of the body, and then closes the
	// connection: the client gets [io.ErrUnexpectedEOF].
	Truncate bool

	// Reset resets the connection in place of an answer: the client gets
	// [syscall.ECONNRESET].
	Reset bool

	// Times is how many requests are answered like this. If zero, it is one. If
	// negative, all are, until Script is called again.
	Times int
}

// JSON returns a Reply with the given status, and the JSON encoding of v as its
// body. It panics if v cannot be encoded.
func JSON(status int, v any) Reply {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("ststest: %v", err))
	}
	return Reply{Status: status, Body: string(b)}
}

// answer is what goes over the wire.
type answer struct {
	status int
	header http.Header
	body   []byte
	token  string // the access token in it, if one was issued
}

// answer works out the answer to a request: the script's if it has one, else
// the refusal if there is one, else a token.
func (h *Handler) answer(c *call, reply Reply, bad *refusal) answer {
	a := h.content(c, reply, bad)
	if reply.RetryAfter != "" {
		a.header.Set("Retry-After", reply.RetryAfter)
	}
	for name, values := range reply.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

func (h *Handler) content(c *call, reply Reply, bad *refusal) answer {
	switch {
	case reply.Redirect != "":
		a := canned(cmp.Or(reply.Status, http.StatusTemporaryRedirect), reply.Body)
		a.header.Set("Location", reply.Redirect)
		return a
	case reply.Error != "":
		return c.oauthError(cmp.Or(reply.Status, http.StatusBadRequest), reply.Error, reply.Description)
	case h.Mode == Google && reply.Status >= 400 && reply.Body == "":
		return c.rpcError(reply.Status, http.StatusText(reply.Status))
	case reply.Status != 0 || reply.Body != "":
		return canned(cmp.Or(reply.Status, http.StatusOK), reply.Body)
	case bad != nil:
		return c.refuse(bad)
	}
	if bad := h.judge(c); bad != nil {
		return c.refuse(bad)
	}
	return h.issue(c, reply)
}

// judge asks the user's functions about a request that breaks no rule.
func (h *Handler) judge(c *call) *refusal {
	if assertion := c.Params.Get("client_assertion"); assertion != "" {
		if err := h.AcceptAssertion(assertion); err != nil {
			return invalidClient(err.Error())
		}
	}
	if h.Accept == nil {
		return nil
	}
	if err := h.Accept(c.Params.Get("subject_token")); err != nil {
		return refuseAs("invalid_grant", "%v", err)
	}
	return nil
}

func canned(status int, body string) answer {
	a := answer{status: status, header: make(http.Header), body: []byte(body)}
	switch {
	case body == "":
	case json.Valid(a.body):
		a.header.Set("Content-Type", "application/json;charset=UTF-8")
	default:
		a.header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return a
}

// refusal is the answer to a request that breaks a rule.
type refusal struct {
	status int
	code   string // of RFC 6749, section 5.2; empty: a google.rpc.Status
	text   string
	header http.Header
}

// refuse is written like fmt.Errorf: invalid_request is what RFC 6749,
// section 5.2, provides for most mistakes.
func refuse(format string, args ...any) *refusal {
	return refuseAs("invalid_request", format, args...)
}

func refuseAs(code, format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: code, text: fmt.Sprintf(format, args...)}
}

// rule checks one thing and returns nil if it is as it should be.
type rule func(*call) *refusal

// first returns what the first rule that is broken says.
func first(c *call, rules ...rule) *refusal {
	for _, check := range rules {
		if bad := check(c); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *call) refuse(bad *refusal) answer {
	var a answer
	if bad.code == "" {
		a = c.rpcError(bad.status, bad.text)
	} else {
		a = c.oauthError(bad.status, bad.code, bad.text)
	}
	maps.Copy(a.header, bad.header)
	return a
}

func (c *call) oauthError(status int, code, description string) answer {
	members := map[string]any{"error": code}
	if description != "" {
		members["error_description"] = description
	}
	return c.render(status, members)
}

// render makes an answer of a JSON object that must not be cached (RFC 6749,
// section 5.1).
func (c *call) render(status int, members map[string]any) answer {
	a := answer{status: status, header: make(http.Header)}
	a.header.Set("Content-Type", "application/json;charset=UTF-8")
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("Pragma", "no-cache")
	a.body = encode(members, c.format.indent)
	if name := c.format.callback; name != "" {
		a.header.Set("Content-Type", "text/javascript;charset=UTF-8")
		a.body = fmt.Appendf(nil, "%s(%s);", name, bytes.TrimSpace(a.body))
	}
	return a
}

// encode panics only if a script's Members cannot be encoded.
func encode(members map[string]any, indent bool) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(members); err != nil {
		panic(fmt.Sprintf("ststest: %v", err))
	}
	return b.Bytes()
}

func (a answer) send(w http.ResponseWriter, r *http.Request, reply Reply) {
	maps.Copy(w.Header(), a.header)
	if !reply.Stall && !reply.Truncate {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body) // a client that is gone needs no answer
		return
	}
	// Even an empty body can be cut off, if its length is a lie.
	w.Header().Set("Content-Length", strconv.Itoa(max(len(a.body), 1)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(w).Flush()
	if reply.Stall {
		<-r.Context().Done()
	}
}

// resetter is the in-memory connection.
type resetter interface{ reset() }

// reset breaks the connection that w writes to.
func reset(w http.ResponseWriter) {
	if m, ok := w.(resetter); ok {
		m.reset()
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2, where this resets the stream
	}
	// Below TLS, which would say goodbye first.
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	// With nothing to linger for, closing sends RST in place of FIN.
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}
