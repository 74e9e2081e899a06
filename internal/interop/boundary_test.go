package interop_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"golang.org/x/oauth2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/gcp/celcondition"
	"github.com/go-sts/sts/stssource/ststest"
)

// A token that a Downscoper has sealed opens with Tink, by the keyset that Tink
// made, and the library for protocol buffers finds the rules in it.
func TestTinkOpensBoundary(t *testing.T) {
	const condition = `resource.name.startsWith("projects/_/buckets/b/objects/customer-a/")`
	tree, err := celcondition.Parse(condition)
	if err != nil {
		t.Fatal(err)
	}
	boundary := gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{
		{AvailableResource: "//storage.googleapis.com/projects/_/buckets/a", AvailablePermissions: []string{"inRole:roles/storage.objectViewer", "inRole:roles/storage.objectCreator"}},
		{AvailableResource: "//storage.googleapis.com/projects/_/buckets/" + strings.Repeat("b", 200), AvailablePermissions: []string{"inRole:roles/storage.admin"},
			AvailabilityCondition: &gcp.AvailabilityCondition{Expression: condition}},
	}}
	want := []sealedRule{
		{boundary.Rules[0].AvailableResource, boundary.Rules[0].AvailablePermissions, nil},
		{boundary.Rules[1].AvailableResource, boundary.Rules[1].AvailablePermissions, tree},
	}
	for name, template := range map[string]*tinkpb.KeyTemplate{
		"AES256GCM": aead.AES256GCMKeyTemplate(), "AES128GCM": aead.AES128GCMKeyTemplate(), "no prefix": aead.AES256GCMNoPrefixKeyTemplate(),
	} {
		t.Run(name, func(t *testing.T) {
			handle, err := keyset.NewHandle(template)
			if err != nil {
				t.Fatal(err)
			}
			token := sealedBy(t, handle, boundary)
			sealed, err := base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:])
			if err != nil {
				t.Fatal(err)
			}
			primitive, err := aead.New(handle)
			if err != nil {
				t.Fatal(err)
			}
			message, err := primitive.Decrypt(sealed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, readBoundary(t, message)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// sealedBy returns a token that a Downscoper made with that keyset.
func sealedBy(t *testing.T, handle *keyset.Handle, b gcp.AccessBoundary) string {
	t.Helper()
	var session bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&session)); err != nil {
		t.Fatal(err)
	}
	sts := &ststest.Handler{Mode: ststest.Google}
	sts.Script(ststest.Reply{Members: map[string]any{"access_boundary_session_key": base64.StdEncoding.EncodeToString(session.Bytes())}})
	downscoper, err := gcp.NewDownscoper(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "source-token"}), gcp.DownscoperConfig{
		ParseCondition: celcondition.Parse,
		HTTPClient:     &http.Client{Transport: ststest.RoundTripper(sts)},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := downscoper.Token(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// sealedRule is a message ClientSideAccessBoundaryRule.
type sealedRule struct {
	Resource    string
	Permissions []string
	Condition   []byte
}

func readBoundary(t *testing.T, message []byte) (rules []sealedRule) {
	t.Helper()
	for _, f := range readFields(t, message) {
		if f.number != 1 {
			t.Fatalf("the boundary has a field %d", f.number)
		}
		var r sealedRule
		for _, f := range readFields(t, f.data) {
			switch f.number {
			case 1:
				r.Resource = string(f.data)
			case 2:
				r.Permissions = append(r.Permissions, string(f.data))
			case 4:
				r.Condition = f.data
			default:
				t.Fatalf("a rule has a field %d", f.number)
			}
		}
		rules = append(rules, r)
	}
	return rules
}

type bytesField struct {
	number protowire.Number
	data   []byte
}

func readFields(t *testing.T, message []byte) (fields []bytesField) {
	t.Helper()
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 || kind != protowire.BytesType {
			t.Fatalf("cannot be read: %x", message)
		}
		data, m := protowire.ConsumeBytes(message[n:])
		if m < 0 {
			t.Fatal(fmt.Errorf("cannot be read: %w", protowire.ParseError(m)))
		}
		fields = append(fields, bytesField{number, data})
		message = message[n+m:]
	}
	return fields
}
