package gcp_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// A keyset as the token service sends it, and the key in it.
const (
	keyset    = "CPaEhYsKEmQKWAowdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUuY3J5cHRvLnRpbmsuQWVzR2NtS2V5EiIaIMx8syvGIGGu5yvrdq/I0Q9ZWIR1oqJXFnDFxHuwX4SEGAEQARj2hIWLCiAB"
	keyPrefix = "01a1614276"
	keyHex    = "cc7cb32bc62061aee72beb76afc8d10f59588475a2a2571670c5c47bb05f8484"
)

func (w *world) downscoper(t *testing.T, source oauth2.TokenSource, change func(*gcp.DownscoperConfig)) *gcp.Downscoper {
	t.Helper()
	c := gcp.DownscoperConfig{HTTPClient: w.client()}
	if change != nil {
		change(&c)
	}
	d, err := gcp.NewDownscoper(source, c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sealing has the token service send that keyset.
func (w *world) sealing(keyset any) {
	w.sts.Script(ststest.Reply{Members: map[string]any{"access_boundary_session_key": keyset}, Times: -1})
}

// opened takes a token apart: what the token service issued, and the message
// that was sealed with the key of keyset.
func opened(t *testing.T, token *oauth2.Token, prefix string) (intermediary, message string) {
	t.Helper()
	dot := max(strings.LastIndexByte(token.AccessToken, '.'), 0)
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token.AccessToken[dot:], "."))
	if err != nil {
		t.Fatal(err)
	}
	sealed, ok := strings.CutPrefix(hex.EncodeToString(b), prefix)
	if !ok {
		t.Fatalf("sealed as %x, and %s does not come first", b, prefix)
	}
	return token.AccessToken[:dot], string(unseal(t, sealed))
}

// unseal is AES-GCM by the standard library, with the nonce before what is
// sealed.
func unseal(t *testing.T, sealed string) []byte {
	t.Helper()
	b, err := hex.DecodeString(sealed)
	key, _ := hex.DecodeString(keyHex)
	block, err1 := aes.NewCipher(key)
	aead, err2 := cipher.NewGCM(block)
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, b[:12], b[12:], nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// varint and field are fields of a protocol buffer message.
func varint(number byte, v uint64) string {
	return string(binary.AppendUvarint([]byte{number << 3}, v))
}

func field(number byte, data string) string {
	return string(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(data)))) + data
}

func TestDownscoperRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if _, err := w.downscoper(t, lasting(time.Hour), nil).Token(t.Context(), *oneRule()); err != nil {
			t.Fatal(err)
		}
		want := values(
			"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
			"requested_token_type", "urn:ietf:params:oauth:token-type:access_boundary_intermediary_token",
			"subject_token", "source-token",
			"subject_token_type", subjecttoken.TypeAccessToken,
		)
		if diff := cmp.Diff(want, w.request(t).Params); diff != "" {
			t.Errorf("parameters (-want +got):\n%s", diff)
		}
	})
}

// What is sealed is what the vectors have, and what one rule after the other
// says.
func TestDownscoperSeals(t *testing.T) {
	long := strings.Repeat("b", 200) // a message whose length has two bytes
	condition := &gcp.AvailabilityCondition{Expression: "a == b", Title: "not sent"}
	for _, tt := range []struct {
		name  string
		rules []gcp.AccessBoundaryRule
		want  string
	}{
		{"one rule", oneRule().Rules, field(1, field(1, bucket)+field(2, viewer))},
		{"two rules, two roles", []gcp.AccessBoundaryRule{
			{AvailableResource: bucket, AvailablePermissions: []string{viewer}},
			{AvailableResource: bucket + long, AvailablePermissions: []string{viewer, "inRole:roles/storage.objectCreator"}},
		}, field(1, field(1, bucket)+field(2, viewer)) + field(1, field(1, bucket+long)+field(2, viewer)+field(2, "inRole:roles/storage.objectCreator"))},
		{"a condition, as a tree", []gcp.AccessBoundaryRule{{AvailableResource: bucket, AvailablePermissions: []string{viewer}, AvailabilityCondition: condition}},
			field(1, field(1, bucket)+field(2, viewer)+field(4, "tree of a == b"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.sealing(keyset)
				d := w.downscoper(t, lasting(time.Hour), func(c *gcp.DownscoperConfig) {
					c.ParseCondition = func(e string) ([]byte, error) { return []byte("tree of " + e), nil }
				})
				token, err := d.Token(t.Context(), gcp.AccessBoundary{Rules: tt.rules})
				if err != nil {
					t.Fatal(err)
				}
				intermediary, message := opened(t, token, keyPrefix)
				if diff := cmp.Diff(tt.want, message); diff != "" || intermediary != w.request(t).AccessToken {
					t.Errorf("%s, not sealed for it, or (-want +got):\n%s", intermediary, diff)
				}
				if token.TokenType != "Bearer" || token.Extra("access_boundary_session_key") != nil || token.RefreshToken != "" {
					t.Errorf("the token has more than it may: %#v", token)
				}
			})
		})
	}
}

// One exchange serves all boundaries, and no two tokens are the same.
func TestDownscoperSharesOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sts.Delay = 300 * time.Millisecond
		d := w.downscoper(t, lasting(time.Hour), nil)
		var mu sync.Mutex
		seen := make(map[string]bool)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				rule := gcp.AccessBoundaryRule{AvailableResource: fmt.Sprintf("%s-%d", bucket, i%10), AvailablePermissions: []string{viewer}}
				token, err := d.Token(t.Context(), gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{rule}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[token.AccessToken] = w.sts.Valid(token.AccessToken)
			})
		}
		wg.Wait()
		for token, valid := range seen {
			if !valid {
				t.Fatalf("%s is not valid", token)
			}
		}
		if n := len(w.sts.Requests()); n != 1 || len(seen) != 1000 {
			t.Errorf("%d requests, %d tokens, want 1 and 1000", n, len(seen))
		}
	})
}

// Nobody gets a token that lives for less than half of its intermediary's life,
// nor waits for one.
func TestDownscoperRenews(t *testing.T) {
	for _, tt := range []struct {
		name     string
		before   time.Duration
		requests int // in the 10 hours of the test, the first among them
		left     time.Duration
	}{
		{"at half of its life", 0, 20, 30 * time.Minute},
		{"when asked to", 5 * time.Minute, 11, 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.sts.Delay = 300 * time.Millisecond
				source := sourceFunc(func() (*oauth2.Token, error) {
					return &oauth2.Token{AccessToken: "source-token", Expiry: time.Now().Add(time.Hour)}, nil
				})
				d := w.downscoper(t, source, func(c *gcp.DownscoperConfig) { c.Refresh.Before = tt.before })
				if _, err := d.Token(t.Context(), *oneRule()); err != nil { // which waits, for the first
					t.Fatal(err)
				}
				left := time.Hour
				for begin := time.Now(); time.Since(begin) < 10*time.Hour-time.Minute; time.Sleep(10 * time.Second) {
					before := time.Now()
					token, err := d.Token(t.Context(), *oneRule())
					if err != nil || time.Since(before) > 0 {
						t.Fatalf("waited for %v: %v", time.Since(before), err)
					}
					left = min(left, time.Until(token.Expiry))
				}
				if n := len(w.sts.Requests()); n != tt.requests || left < tt.left-10*time.Second {
					t.Errorf("%d requests, a token with %v left; want %d and at least %v", n, left, tt.requests, tt.left)
				}
			})
		})
	}
}

// A token ends with the one of the source that it was made from.
func TestDownscoperExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sts.Lifetime = 40 * time.Minute
		token, err := w.downscoper(t, w.issued(t), nil).Token(t.Context(), *oneRule())
		if err != nil || time.Until(token.Expiry) != 40*time.Minute {
			t.Fatalf("ends in %v: %v", time.Until(token.Expiry), err)
		}
		if !w.sts.Valid(token.AccessToken) {
			t.Error("is not valid")
		}
		time.Sleep(40 * time.Minute)
		if w.sts.Valid(token.AccessToken) {
			t.Error("is still valid")
		}
	})
}

// tinkKey is what a keyset of one key says, each as a field of its message, so
// that a test can change one.
type tinkKey struct{ primary, id, status, prefix, typeURL, version, value, more string }

func (k tinkKey) keyset() string {
	data := field(1, k.typeURL) + field(2, k.version+k.value) + varint(3, 1)
	return base64.StdEncoding.EncodeToString([]byte(k.primary + field(2, field(1, data)+k.status+k.id+k.prefix+k.more)))
}

// A session key that cannot be used fails the exchange, as an answer without a
// token does, and is not in the error.
func TestDownscoperSessionKeys(t *testing.T) {
	value, _ := hex.DecodeString(keyHex)
	keyText := strings.Trim(fmt.Sprintf("%q", value[:6]), `"`) // as an error would quote it
	google := tinkKey{
		primary: varint(1, 0xa1614276), id: varint(3, 0xa1614276), status: varint(2, 1), prefix: varint(4, 1),
		typeURL: "type.googleapis.com/google.crypto.tink.AesGcmKey", value: field(3, string(value)),
	}
	if google.keyset() != keyset {
		t.Fatalf("made %s, want %s", google.keyset(), keyset)
	}
	with := func(change func(*tinkKey)) string {
		k := google
		change(&k)
		return k.keyset()
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	whole, _ := base64.StdEncoding.DecodeString(keyset)
	for _, tt := range []struct {
		name, keyset string
		prefix       string // of what is sealed, in hexadecimal
		want         string // of the error; empty if there is none
	}{
		{"of Google's", keyset, keyPrefix, ""},
		{"without a prefix", with(func(k *tinkKey) { k.prefix = varint(4, 3) }), "", ""},
		{"with the prefix of an old one", with(func(k *tinkKey) { k.prefix = varint(4, 2) }), "00" + keyPrefix[2:], ""},
		{"with that of another library", with(func(k *tinkKey) { k.prefix = varint(4, 4) }), "00" + keyPrefix[2:], ""},
		{"with fields of every kind that are not known", with(func(k *tinkKey) { k.more = varint(7, 300) + field(8, "?") + "\x49" + "12345678" + "\x55" + "1234" }), keyPrefix, ""},
		{"with a field twice, of which the last counts", with(func(k *tinkKey) { k.primary = varint(1, 5) + k.primary }), keyPrefix, ""},
		{"the second of two", encode(varint(1, 7) + string(whole[6:]) + string(whole[:6])), keyPrefix, ""},
		{"with a prefix that is not known", with(func(k *tinkKey) { k.prefix = varint(4, 9) }), "", "unknown output prefix 9"},
		{"disabled", with(func(k *tinkKey) { k.status = varint(2, 2) }), "", "has no primary key that is enabled"},
		{"not the primary key", with(func(k *tinkKey) { k.primary = varint(1, 5) }), "", "has no primary key that is enabled"},
		{"without keys", encode(google.primary), "", "has no primary key that is enabled"},
		{"for another cipher", with(func(k *tinkKey) { k.typeURL = "type.googleapis.com/google.crypto.tink.AesEaxKey" }), "", "the type AesEaxKey, and AesGcmKey is what can be used"},
		{"with the key in place of its type", with(func(k *tinkKey) { k.typeURL = string(value) }), "", "a type that is not Tink's"},
		{"of a later version", with(func(k *tinkKey) { k.version = varint(1, 1) }), "", "version 1"},
		{"too short", with(func(k *tinkKey) { k.value = field(3, "short") }), "", "a key of 5 bytes"},
		{"absent", with(func(k *tinkKey) { k.value = "" }), "", "a key of 0 bytes"},
		{"not base64", "%%%", "", "is not base64"},
		{"cut", encode(string(whole[:len(whole)-1])), "", "is not a Tink keyset"},
		{"not a message", encode("Hello, world!"), "", "is not a Tink keyset"},
		{"a key that is not a message", encode(google.primary + field(2, "?")), "", "is not a Tink keyset"},
		{"a value that is not a message", with(func(k *tinkKey) { k.value = "\x1a\x20" }), "", "is not a Tink keyset"},
		{"a number without an end", encode("\x08\xff"), "", "is not a Tink keyset"},
		{"eight bytes that are not there", encode("\x49123"), "", "is not a Tink keyset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.sealing(tt.keyset)
				token, err := w.downscoper(t, lasting(time.Hour), nil).Token(t.Context(), *oneRule())
				if tt.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					if _, message := opened(t, token, tt.prefix); message != field(1, field(1, bucket)+field(2, viewer)) {
						t.Errorf("sealed %q", message)
					}
					return
				}
				checkMentions(t, err, "sts.googleapis.com", "access_boundary_session_key of the answer", tt.want)
				if e, ok := errors.AsType[*stssource.Error](err); !ok || e.Stage != stssource.StageExchange || strings.Contains(err.Error(), tt.keyset) || strings.Contains(err.Error(), keyText) {
					t.Errorf("got %#v", err)
				}
			})
		})
	}
}

func TestDownscoperWithoutSessionKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, key := range []any{nil, "", 7} {
			w.sealing(key)
			_, err := w.downscoper(t, lasting(time.Hour), nil).Token(t.Context(), *oneRule())
			checkMentions(t, err, "exchange with sts.googleapis.com", "the answer has no access_boundary_session_key")
		}
	})
}

// What is wrong with a boundary is told at once, and costs no request.
func TestDownscoperMistakesInBoundary(t *testing.T) {
	w := newWorld()
	errParse := errors.New("missing )")
	parsing := func(c *gcp.DownscoperConfig) {
		c.ParseCondition = func(e string) ([]byte, error) {
			if e == "nothing" {
				return nil, nil
			}
			return nil, errParse
		}
	}
	conditional := func(expressions ...string) (b gcp.AccessBoundary) {
		for _, e := range expressions {
			b.Rules = append(b.Rules, gcp.AccessBoundaryRule{
				AvailableResource: bucket, AvailablePermissions: []string{viewer},
				AvailabilityCondition: &gcp.AvailabilityCondition{Expression: e},
			})
		}
		return b
	}
	for _, tt := range []struct {
		name   string
		change func(*gcp.DownscoperConfig)
		b      gcp.AccessBoundary
		want   []string
	}{
		{"no rules", nil, gcp.AccessBoundary{}, []string{"Rules: there are 0"}},
		{"a condition, and nothing to parse it", nil, conditional("true"), []string{"Rules[0]: availabilityCondition cannot be parsed: set DownscoperConfig.ParseCondition"}},
		{"two that cannot be parsed", parsing, conditional("a(", "b("), []string{"Rules[0]: availabilityCondition cannot be parsed: missing )", "Rules[1]: "}},
		{"a parser that gives nothing", parsing, conditional("nothing"), []string{"ParseCondition returned nothing and no error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.downscoper(t, lasting(time.Hour), tt.change).Token(t.Context(), tt.b)
			checkMentions(t, err, append(tt.want, "gcp: invalid AccessBoundary: ")...)
			if strings.Contains(err.Error(), "missing )") != errors.Is(err, errParse) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
	if n := len(w.sts.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestDownscoperMistakes(t *testing.T) {
	_, err := gcp.NewDownscoper(nil, gcp.DownscoperConfig{
		Endpoint: gcp.Endpoint{Version: gcp.V1Beta, MTLS: true},
		Refresh:  stssource.Refresh{Timeout: -1, Before: -1},
	})
	checkMentions(t, err, "gcp: invalid DownscoperConfig: ", "the token source is nil", "Endpoint.Version: v1beta has no intermediary tokens: use v1",
		"HTTPClient: is nil, and Endpoint.MTLS needs one", "Refresh.Timeout is negative", "Refresh.Before is negative")
	for _, d := range []*gcp.Downscoper{nil, {}} {
		_, err = d.Token(t.Context(), *oneRule())
		checkMentions(t, err, "the Downscoper was not made by NewDownscoper")
	}
}

// A caller who cannot wait leaves, and the error of the source comes through.
func TestDownscoperErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sts.Script(ststest.Reply{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.downscoper(t, lasting(time.Hour), nil).Token(ctx, *oneRule())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute) // the exchange goes on without the caller, for as long as it may
		errSource := errors.New("no source token today")
		_, err = w.downscoper(t, sourceFunc(func() (*oauth2.Token, error) { return nil, errSource }), nil).Token(t.Context(), *oneRule())
		if e, ok := errors.AsType[*stssource.Error](err); !ok || e.Stage != stssource.StageSubjectToken || !errors.Is(err, errSource) {
			t.Errorf("got %v", err)
		}
	})
}

// What a Downscoper prints has no token and no key.
func TestDownscoperPrintsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sealing(keyset)
		d := w.downscoper(t, lasting(time.Hour), nil)
		if _, err := d.Token(t.Context(), *oneRule()); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%v %+v %#v", d, d, d)
		for _, secret := range []string{keyset, "source-token", w.request(t).AccessToken} {
			if strings.Contains(text, secret) {
				t.Errorf("printed with a secret: %s", text)
			}
		}
	})
}

// BenchmarkDownscoper compares a token with what bounds it: to seal what is in
// it, with a key that is set up already, and to encode that.
func BenchmarkDownscoper(b *testing.B) {
	w := newWorld()
	d, err := gcp.NewDownscoper(lasting(time.Hour), gcp.DownscoperConfig{HTTPClient: w.client()})
	if err != nil {
		b.Fatal(err)
	}
	block, _ := aes.NewCipher(make([]byte, 32))
	aead, _ := cipher.NewGCMWithRandomNonce(block)
	message := []byte(field(1, field(1, bucket)+field(2, viewer)))
	b.Run("limit=seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, message, nil))
		}
	})
	b.Run("Token", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Token(b.Context(), *oneRule()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
