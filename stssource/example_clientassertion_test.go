package stssource_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// assertion is a JWT by which a client shows that it has the key (RFC 7523,
// section 3). Each is used once, so that one that is overheard is of no use.
func assertion(key *ecdsa.PrivateKey, clientID, tokenURL string) (subjecttoken.Token, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": clientID,
		"sub": clientID,
		"aud": tokenURL,
		"jti": rand.Text(),
		"iat": now.Unix(),
		"exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return subjecttoken.Token{}, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT","kid":"key-1"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return subjecttoken.Token{}, err
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return subjecttoken.Token{Value: signed + "." + encode(signature)}, nil
}

// A client that has a key in place of a secret (private_key_jwt). If the
// platform writes the assertion to a file, a subjecttoken.File is enough.
func ExampleNew_clientAssertion() {
	const clientID, tokenURL = "my-service", "https://sts.example.com/token"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // or from a file
	if err != nil {
		log.Fatal(err)
	}
	service := &ststest.Handler{
		ClientID:        clientID,
		AcceptAssertion: func(string) error { return nil }, // a real one checks it
	}
	src, err := stssource.New(stssource.Config{
		TokenURL:     tokenURL,
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		ClientID:     clientID,
		ClientAssertion: subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
			return assertion(key, clientID, tokenURL)
		}),
		HTTPClient: &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := src.Token(); err != nil {
		log.Fatal(err)
	}
	sent := service.Requests()[0].Params
	fmt.Println(sent["client_id"], sent["client_assertion_type"])
	// Output: [my-service] [urn:ietf:params:oauth:client-assertion-type:jwt-bearer]
}
