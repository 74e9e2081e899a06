package stssource_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// faultServer is a token service down at the level of sockets: while it is
// broken, each request gets what reply writes to the connection; afterwards, a
// token.
type faultServer struct {
	listener net.Listener
	broken   atomic.Bool
	requests atomic.Int64 // while it was broken
	reply    func(*exchange)
	wrap     func(net.Conn) net.Conn // what each connection goes through
	done     chan struct{}
}

// exchange is one request to a faultServer and the connection to answer on.
type exchange struct {
	net.Conn
	body []byte        // of the request
	done chan struct{} // closed when the test is over: hang until then
}

// write sends s; the client may be gone.
func (x *exchange) write(s string) { _, _ = io.WriteString(x.Conn, s) }

// reset closes the connection with a RST.
func (x *exchange) reset() {
	conn := x.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	conn.Close()
}

// hang waits for the end of the test, or for the client to leave.
func (x *exchange) hang() {
	go func() {
		_, _ = io.Copy(io.Discard, x.Conn)
		x.Conn.Close()
	}()
	<-x.done
}

// response returns a whole HTTP response.
func response(status int, body string, header ...string) string {
	s := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", status, http.StatusText(status), len(body))
	for _, h := range header {
		s += h + "\r\n"
	}
	return s + "\r\n" + body
}

// newFaultServer returns a server that listens, and takes connections once it
// was started.
func newFaultServer(t *testing.T, reply func(*exchange)) *faultServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &faultServer{
		listener: listener,
		reply:    reply,
		wrap:     func(conn net.Conn) net.Conn { return conn },
		done:     make(chan struct{}),
	}
	s.broken.Store(true)
	t.Cleanup(func() {
		close(s.done)
		listener.Close()
	})
	return s
}

func (s *faultServer) start() {
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(s.wrap(conn))
		}
	}()
}

func (s *faultServer) addr() string { return s.listener.Addr().String() }

func (s *faultServer) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		x := &exchange{Conn: conn, body: body, done: s.done}
		if s.broken.Load() {
			s.requests.Add(1)
			s.reply(x)
			return
		}
		x.write(response(200, goodAnswer, "Content-Type: application/json"))
	}
}

// goodAnswer is what a healthy service answers.
const goodAnswer = `{"access_token":"canary-access-token-0123456789","token_type":"Bearer","expires_in":3600}`

// certificate returns a certificate for name that vouches for itself.
func certificate(t *testing.T, name string, notAfter time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             notAfter.Add(-24 * time.Hour),
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// deadNameServer answers every query with NXDOMAIN, and returns a resolver that
// asks it.
func deadNameServer(t *testing.T) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			buf[2], buf[3] = buf[2]|0x80, 3 // a response: no such name
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
