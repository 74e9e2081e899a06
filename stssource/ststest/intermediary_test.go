package ststest_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

// intermediaryToken gets one, and what seals boundaries for it.
func intermediaryToken(t *testing.T, h *ststest.Handler) (token string, seal func(plain string) string) {
	t.Helper()
	m := validGoogle()
	and(boundary(rule), delForm("options"), setForm("requested_token_type", intermediary))(m)
	answer := send(t, h, m).members(t)
	keyset, err := base64.StdEncoding.DecodeString(answer["access_boundary_session_key"].(string))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := binary.Uvarint(keyset[1:])
	_, value, ok := bytes.Cut(keyset, []byte("\x1a\x20")) // field 3 of the key, 32 bytes
	if !ok {
		t.Fatalf("%x has no key of 32 bytes", keyset)
	}
	block, err := aes.NewCipher(value[:32])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return answer["access_token"].(string), func(plain string) string {
		prefix := binary.BigEndian.AppendUint32([]byte{1}, uint32(id))
		return base64.RawURLEncoding.EncodeToString(aead.Seal(prefix, nil, []byte(plain), nil))
	}
}

// An intermediary token gives access with something that was sealed for it, and
// in no other way: who is handed the token itself could do all that its source
// can.
func TestValidIntermediary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &ststest.Handler{Mode: ststest.Google, Lifetime: time.Minute}
		token, seal := intermediaryToken(t, h)
		other, sealOther := intermediaryToken(t, h)
		good := seal("boundary")
		changed := []byte(good)
		changed[len(changed)-9] ^= 1
		for _, tt := range []struct {
			name, token string
			want        bool
		}{
			{"sealed", token + "." + good, true},
			{"with nothing in it", token + "." + seal(""), true},
			{"by itself", token, false},
			{"with nothing", token + ".", false},
			{"sealed for another", token + "." + sealOther("boundary"), false},
			{"of another", other + "." + good, false},
			{"changed", token + "." + string(changed), false},
			{"cut", token + "." + good[:10], false},
			{"not base64", token + ".%", false},
			{"not issued", "x." + good, false},
		} {
			if got := h.Valid(tt.token); got != tt.want {
				t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
			}
		}
		time.Sleep(time.Minute)
		if h.Valid(token + "." + good) {
			t.Error("outlives its intermediary token")
		}
	})
}

func TestRevokeIntermediary(t *testing.T) {
	h := &ststest.Handler{Mode: ststest.Google}
	token, seal := intermediaryToken(t, h)
	sealed := token + "." + seal("boundary")
	h.Revoke(token)
	if h.Valid(sealed) {
		t.Error("what was made from a revoked token is valid")
	}
}

// A token of another kind cannot be narrowed by adding something to it.
func TestValidIsNotSealed(t *testing.T) {
	h := new(ststest.Handler)
	if h.Valid(token(t, h, validRFC()) + ".x") {
		t.Error("a token with something behind it is valid")
	}
}
