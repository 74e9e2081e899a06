package interop_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// bucket is a fake Cloud Storage with one object, behind a guard: the fake by
// itself takes any token and none.
type bucket struct {
	*guard
	endpoint string
}

const objectContent = "a few bytes"

func startBucket(t *testing.T, server *dex) *bucket {
	t.Helper()
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true,
		InitialObjects: []fakestorage.Object{{
			ObjectAttrs: fakestorage.ObjectAttrs{BucketName: "bucket", Name: "object"},
			Content:     []byte(objectContent),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{guard: newGuard(t, server, fake.HTTPHandler())}
	api := httptest.NewServer(b)
	t.Cleanup(api.Close)
	b.endpoint = api.URL + "/storage/v1/"
	return b
}

// client returns Google's client for b, with tokens of source.
func (b *bucket) client(t *testing.T, source oauth2.TokenSource) *storage.Client {
	t.Helper()
	client, err := storage.NewClient(context.Background(),
		option.WithEndpoint(b.endpoint), option.WithTokenSource(source), storage.WithJSONReads())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// clientOverHTTP returns Google's client for b over source's own HTTP client.
func (b *bucket) clientOverHTTP(t *testing.T, source *stssource.Source) *storage.Client {
	t.Helper()
	base := tokenClient(t)
	base.Transport = stamp{base.Transport}
	client, err := storage.NewClient(context.Background(),
		option.WithEndpoint(b.endpoint), option.WithHTTPClient(source.Client(base)), storage.WithJSONReads())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func read(ctx context.Context, client *storage.Client) (string, error) {
	r, err := client.Bucket("bucket").Object("object").NewReader(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	return string(raw), err
}

// TestStorage has 20 callers use one client at once, with a source that has no
// token yet.
func TestStorage(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	source := newSource(t, server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	store := startBucket(t, server)
	client := store.client(t, source)

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := read(t.Context(), client)
			if err != nil || got != objectContent {
				t.Errorf("read: %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	want := []int64{20, 0, 1}
	got := []int64{store.passed.Load(), store.refused.Load(), server.requests.Load()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests passed, refused, exchanges mismatch (-want +got):\n%s", diff)
	}
}

// TestStorageWrites uploads, which sends a body with the token.
func TestStorageWrites(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	source := newSource(t, server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	store := startBucket(t, server)
	object := store.client(t, source).Bucket("bucket").Object("object")

	w := object.NewWriter(t.Context())
	if _, err := io.WriteString(w, "new"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	attrs, err := object.Attrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if attrs.Size != 3 || store.refused.Load() != 0 {
		t.Errorf("size %d, %d requests refused; want 3, 0", attrs.Size, store.refused.Load())
	}
}

// TestStorageWrongAudience checks that the guard guards.
func TestStorageWrongAudience(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	c := server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)})
	c.Scopes = nil
	store := startBucket(t, server)

	_, err := read(t.Context(), store.client(t, newSource(t, c)))
	if e, ok := errors.AsType[*googleapi.Error](err); !ok || e.Code != 401 {
		t.Errorf("error %v, want status 401", err)
	}
}

// TestStorageNoToken checks what comes of an error of a source through the
// storage client, which does not retry it.
//
// With a token source, Google's adapter keeps the *oauth2.RetrieveError alone,
// and shows its body: so that must be fit to be shown, and *stssource.Error is
// lost, advice and all. With our HTTP client all of it arrives.
func TestStorageNoToken(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	store := startBucket(t, server)
	subject := forged(t, upstream)

	for _, tt := range []struct {
		name   string
		client func(*testing.T, *stssource.Source) *storage.Client
		typed  bool
	}{
		{"token source", func(t *testing.T, s *stssource.Source) *storage.Client { return store.client(t, s) }, false},
		{"HTTP client", store.clientOverHTTP, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := newSource(t, server.config(t, subjecttoken.Static{Value: subject}))
			before := server.requests.Load()
			_, err := read(t.Context(), tt.client(t, source))
			if got := server.requests.Load() - before; got != 1 {
				t.Errorf("%d exchanges, want 1", got)
			}
			r, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok || r.ErrorCode != "access_denied" {
				t.Errorf("error %v, want a *oauth2.RetrieveError with access_denied", err)
			}
			if _, ok := errors.AsType[*stssource.Error](err); ok != tt.typed {
				t.Errorf("error %v is a *stssource.Error: %t, want %t", err, ok, tt.typed)
			}
			checkSecrets(t, err, subject, clientSecret)
		})
	}
}

// TestStorageOwnTransport gives the storage client our HTTP client in place of
// the source: then a token that the service no longer takes is replaced, and
// the request is sent again.
func TestStorageOwnTransport(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	store := startBucket(t, server)
	fetches := 0
	good := newSource(t, server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	source, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
		fetches++
		if fetches == 1 {
			return &oauth2.Token{AccessToken: forged(t, upstream), Expiry: time.Now().Add(time.Hour)}, nil
		}
		return good.TokenContext(ctx)
	}, stssource.Refresh{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t.Context(), store.clientOverHTTP(t, source))
	if err != nil || got != objectContent {
		t.Errorf("read: %q, %v", got, err)
	}
	if passed, refused := store.passed.Load(), store.refused.Load(); passed != 1 || refused != 1 {
		t.Errorf("%d requests passed, %d refused; want 1, 1", passed, refused)
	}
}
