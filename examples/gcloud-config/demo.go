package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// demo describes a credential file that is written for an embedded token
// service.
func demo(ctx context.Context, o options, out io.Writer) error {
	sts := ststest.NewServer(&ststest.Handler{Mode: ststest.Google})
	defer sts.Close()
	dir, err := os.MkdirTemp("", "gcloud-config-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	subject := filepath.Join(dir, "token")
	if err := os.WriteFile(subject, []byte("a-subject-token\n"), 0o600); err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{
		"type":               "external_account",
		"audience":           gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "provider"}.Audience(),
		"subject_token_type": subjecttoken.TypeJWT,
		"token_url":          sts.TokenURL,
		"credential_source":  map[string]string{"file": subject},
	}, "", "  ")
	if err != nil {
		return err
	}
	o.file = filepath.Join(dir, "credentials.json")
	if err := os.WriteFile(o.file, text, 0o600); err != nil {
		return err
	}
	o.allow = "127.0.0.1"
	fmt.Fprintf(out, "No file, and no GOOGLE_APPLICATION_CREDENTIALS: this one was written for a token service on this machine.\n\n%s\n\n", text)
	return show(ctx, o, out)
}
