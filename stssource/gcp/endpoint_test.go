package gcp_test

import (
	"testing"

	"github.com/go-sts/sts/stssource/gcp"
)

func TestEndpointTokenURL(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    gcp.Endpoint
		want string
	}{
		{"zero", gcp.Endpoint{}, "https://sts.googleapis.com/v1/token"},
		{"v1beta", gcp.Endpoint{Version: gcp.V1Beta}, "https://sts.googleapis.com/v1beta/token"},
		{"region", gcp.Endpoint{Region: "us-east1"}, "https://sts.us-east1.rep.googleapis.com/v1/token"},
		{"region of two words and two digits", gcp.Endpoint{Region: "northamerica-northeast2", Version: gcp.V1Beta}, "https://sts.northamerica-northeast2.rep.googleapis.com/v1beta/token"},
		{"region with two digits", gcp.Endpoint{Region: "europe-west12"}, "https://sts.europe-west12.rep.googleapis.com/v1/token"},
		{"client certificate", gcp.Endpoint{MTLS: true}, "https://sts.mtls.googleapis.com/v1/token"},
		{"universe", gcp.Endpoint{Universe: "Universe.Example"}, "https://sts.universe.example/v1/token"},
		{"region of a universe", gcp.Endpoint{Universe: "universe.example", Region: "u-land1"}, "https://sts.u-land1.rep.universe.example/v1/token"},
		{"URL", gcp.Endpoint{URL: "https://psc.example/x/token"}, "https://psc.example/x/token"},
		{"URL to this machine", gcp.Endpoint{URL: "http://127.0.0.1:8080/v1/token", Version: gcp.V1Beta}, "http://127.0.0.1:8080/v1/token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.e.TokenURL()
			if err != nil || got != tt.want {
				t.Errorf("TokenURL() = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestEndpointMistakes(t *testing.T) {
	for _, tt := range []struct {
		e    gcp.Endpoint
		want []string
	}{
		{gcp.Endpoint{Version: "v2"}, []string{`Version: "v2" is neither v1 nor v1beta`}},
		{gcp.Endpoint{Region: "us-east1.evil.example/"}, []string{`Region: "us-east1.evil.example/" is not a region such as us-east1`}},
		{gcp.Endpoint{Region: "us-east1-b"}, []string{`"us-east1-b" is not a region`}}, // a zone
		{gcp.Endpoint{Universe: "https://universe.example"}, []string{`Universe: "https://universe.example" is not a domain such as googleapis.com`}},
		{gcp.Endpoint{Universe: "universe.example."}, []string{"is not a domain"}},
		{gcp.Endpoint{Universe: "localhost"}, []string{"is not a domain"}},
		{gcp.Endpoint{MTLS: true, Region: "us-east1"}, []string{"MTLS: there is no such host for a region"}},
		{gcp.Endpoint{URL: "https://h.example/t", Region: "us-east1"}, []string{"URL: says which host is asked"}},
		{gcp.Endpoint{URL: "https://h.example/t", MTLS: true}, []string{"URL: says which host is asked"}},
		{gcp.Endpoint{URL: "http://h.example/t"}, []string{"URL: plain http to h.example"}},
		{gcp.Endpoint{URL: "https://u:p@h.example/t", Version: "x"}, []string{"URL: a user name", `Version: "x"`}}, // both at once
		{gcp.Endpoint{URL: "https://u:p@h.example/t#f"}, []string{"URL: a user name", "URL: a fragment"}},
	} {
		got, err := tt.e.TokenURL()
		checkMentions(t, err, append(tt.want, "gcp: invalid Endpoint: ")...)
		if got != "" {
			t.Errorf("%+v: got %q with the error", tt.e, got)
		}
	}
}
