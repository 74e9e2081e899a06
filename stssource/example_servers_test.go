package stssource_test

import (
	"fmt"
	"log"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// Dex takes the audience as a scope, and wants to know which connector is to
// check the subject token. The client's secret goes into the Authorization
// header, form-encoded as RFC 6749 says.
func ExampleNew_dex() {
	dex := &ststest.Handler{ClientID: "my-service", ClientSecret: "s3cr:et/+%"}
	src, err := stssource.New(stssource.Config{
		TokenURL:         "https://dex.example.com/token",
		SubjectToken:     subjecttoken.File{Path: tokenFile},
		SubjectTokenType: subjecttoken.TypeIDToken,
		Scopes:           []string{"openid", "audience:server:client_id:my-api"},
		EndpointParams:   url.Values{"connector_id": {"kubernetes"}},
		ClientID:         "my-service",
		ClientSecret:     "s3cr:et/+%",
		HTTPClient:       &http.Client{Transport: dex.RoundTripper()}, // may be left out
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.TokenType)
	fmt.Println(dex.Requests()[0].Params["connector_id"])
	// Output:
	// Bearer
	// [kubernetes]
}

// Keycloak exchanges an access token that was issued to another client of the
// same realm. Here its client sends the secret in the body.
func ExampleNew_keycloak() {
	keycloak := &ststest.Handler{ClientID: "my-service", ClientSecret: "secret"}
	src, err := stssource.New(stssource.Config{
		TokenURL:         "https://keycloak.example.com/realms/my-realm/protocol/openid-connect/token",
		SubjectToken:     subjecttoken.File{Path: tokenFile},
		SubjectTokenType: subjecttoken.TypeAccessToken,
		Audiences:        []string{"my-api"},
		ClientID:         "my-service",
		ClientSecret:     "secret",
		AuthStyle:        oauth2.AuthStyleInParams, // if left out: in the Authorization header
		HTTPClient:       &http.Client{Transport: keycloak.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.TokenType)
	fmt.Println(keycloak.Requests()[0].Params["audience"])
	// Output:
	// Bearer
	// [my-api]
}

// One token for several services: two by names that the token service knows,
// one by its address.
func ExampleNew_audiences() {
	service := new(ststest.Handler)
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.File{Path: tokenFile},
		Audiences:    []string{"inventory", "billing"},
		Resources:    []string{"https://orders.example.com/"},
		Scopes:       []string{"read", "write"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Extra("scope"))
	sent := service.Requests()[0].Params
	fmt.Println(sent["audience"], sent["resource"], sent["scope"])
	// Output:
	// read write
	// [inventory billing] [https://orders.example.com/] [read write]
}

// Delegation: this program calls an API on behalf of a user. The user's token
// is the subject, and the program's own is the actor, which the token service
// writes into the act claim of the new token (RFC 8693, section 4.1).
func ExampleNew_delegation() {
	service := new(ststest.Handler)
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "token of the user", Type: subjecttoken.TypeAccessToken},
		ActorToken:   subjecttoken.File{Path: tokenFile, Type: subjecttoken.TypeJWT}, // this program's own
		Audiences:    []string{"billing"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := src.Token(); err != nil {
		log.Fatal(err)
	}
	sent := service.Requests()[0].Params
	fmt.Println("subject:", sent["subject_token"], sent["subject_token_type"])
	fmt.Println("actor:  ", sent["actor_token"], sent["actor_token_type"])
	// Output:
	// subject: [token of the user] [urn:ietf:params:oauth:token-type:access_token]
	// actor:   [subject-token] [urn:ietf:params:oauth:token-type:jwt]
}

// All mistakes of a Config are reported at once, before any request.
func ExampleNew_mistakes() {
	_, err := stssource.New(stssource.Config{
		TokenURL:     "http://sts.example.com/token",
		ClientSecret: "secret",
		Resources:    []string{"https://api.example.com/#fragment"},
	})
	fmt.Println(err)
	// Output:
	// stssource: invalid Config: TokenURL: plain http to sts.example.com would show the token to the network: use https
	// SubjectToken is nil: set it to a provider, such as subjecttoken.File{Path: ...}
	// Resources[0]: the resource "https://api.example.com/#fragment" has a fragment (RFC 8693, section 2.1)
	// ClientSecret is set and ClientID is not
}
