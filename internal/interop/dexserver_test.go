package interop_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/dexidp/dex/connector/oidc" // the type of the connector
	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

const (
	// clientID and clientSecret are the credentials of our client. The secret
	// has characters that change their meaning if they are not form-encoded:
	// RFC 6749, section 2.3.1, wants that done before they go into a header.
	clientID     = "workload-client"
	clientSecret = "s3cr:et/+%"

	// tokenExchange is the grant type, and connectorID names the upstream
	// issuer to Dex.
	tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	connectorID   = "upstream"
)

// dex is a Dex server. It keeps what it knows, its signing keys above all, when
// it is stopped and started again.
type dex struct {
	URL      string
	TokenURL string

	requests atomic.Int64  // how many token requests arrived
	arrived  chan struct{} // has one value for each, if there is room
	storage  storage.Storage
	lifetime time.Duration

	server *http.Server // nil while it is stopped
	cancel context.CancelFunc
}

// dexConfig says what a Dex is like.
type dexConfig struct {
	Upstream string        // the issuer whose tokens it takes
	UserInfo bool          // take access tokens, and ask the issuer whose they are
	Lifetime time.Duration // of its tokens; if zero, an hour
}

func startDex(t *testing.T, c dexConfig) *dex {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	d := &dex{
		URL:      "http://" + listener.Addr().String(),
		arrived:  make(chan struct{}, 1),
		storage:  memory.New(quiet()),
		lifetime: c.Lifetime,
	}
	d.TokenURL = d.URL + "/token"
	if d.lifetime == 0 {
		d.lifetime = time.Hour
	}
	d.fill(t, c)
	d.serve(t, listener)
	t.Cleanup(d.stop)
	return d
}

// fill puts the connector and the clients into the storage.
func (d *dex) fill(t *testing.T, c dexConfig) {
	t.Helper()
	config, err := json.Marshal(map[string]any{
		"issuer":      c.Upstream,
		"clientID":    "dex",
		"scopes":      []string{"openid"},
		"userNameKey": "sub",
		"getUserInfo": c.UserInfo,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	err = d.storage.CreateConnector(ctx, storage.Connector{ID: connectorID, Type: "oidc", Name: "Upstream", Config: config})
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []storage.Client{
		{ID: clientID, Secret: clientSecret},
		{ID: "api", Secret: "unused", TrustedPeers: []string{clientID}},
		{ID: "second-api", Secret: "unused", TrustedPeers: []string{clientID}},
		{ID: "stranger", Secret: "unused"}, // trusts nobody
	} {
		if err := d.storage.CreateClient(ctx, client); err != nil {
			t.Fatal(err)
		}
	}
}

// serve starts the server, which asks the upstream issuer for its metadata.
func (d *dex) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	// A key is due for rotation whenever Dex starts, and not before.
	keys := &signer.LocalConfig{KeysRotationPeriod: "1ms"}
	sign, err := keys.Open(ctx, d.storage, d.lifetime, time.Now, quiet())
	if err != nil {
		t.Fatal(err)
	}
	handler, err := server.NewServer(ctx, server.Config{
		Issuer:            d.URL,
		Storage:           d.storage,
		AllowedGrantTypes: []string{tokenExchange},
		IDTokensValidFor:  d.lifetime,
		Signer:            sign,
		Logger:            quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.cancel = cancel
	d.server = &http.Server{Handler: d.count(handler)}
	go d.server.Serve(listener)
}

func (d *dex) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			d.requests.Add(1)
			select {
			case d.arrived <- struct{}{}:
			default:
			}
		}
		next.ServeHTTP(w, r)
	})
}

// stop ends the server at once, connections and all: from now on they are
// refused.
func (d *dex) stop() {
	if d.server == nil {
		return
	}
	d.server.Close()
	d.cancel()
	d.server = nil
}

// restart starts a stopped server at the address it had.
func (d *dex) restart(t *testing.T) {
	t.Helper()
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.serve(t, listen(t, u.Host))
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// config returns the Config of a workload that has subject.
func (d *dex) config(t *testing.T, subject subjecttoken.Provider) stssource.Config {
	return stssource.Config{
		TokenURL:     d.TokenURL,
		SubjectToken: subject,
		// Dex knows ID tokens and access tokens, no JWTs.
		SubjectTokenType: subjecttoken.TypeIDToken,
		// Dex passes over audience; this scope is its way to say it.
		Scopes:         []string{"openid", "audience:server:client_id:api"},
		EndpointParams: url.Values{"connector_id": {connectorID}},
		ClientID:       clientID,
		ClientSecret:   clientSecret,
		HTTPClient:     tokenClient(t),
	}
}

// tokenClient returns a client of its own, whose connections end with the test.
func tokenClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func newSource(t *testing.T, c stssource.Config) *stssource.Source {
	t.Helper()
	source, err := stssource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return source
}
