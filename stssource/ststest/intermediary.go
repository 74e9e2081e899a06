package ststest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/go-sts/sts/internal/protobuf"
)

// sessionKey is what comes with an intermediary token, for whoever has that to
// seal access boundaries with: a keyset of Tink's with one key for AES-GCM.
type sessionKey struct {
	id    uint32
	value [32]byte
}

func newSessionKey() *sessionKey {
	var random [4 + 32]byte
	_, _ = rand.Read(random[:]) // never fails
	return &sessionKey{id: binary.BigEndian.Uint32(random[:]), value: [32]byte(random[4:])}
}

// keyset returns the serialized message Keyset, in base64.
func (k *sessionKey) keyset() string {
	const enabled, symmetric, tink = 1, 1, 1
	key := protobuf.AppendBytes(nil, 3, k.value[:])
	data := protobuf.AppendBytes(nil, 1, []byte("type.googleapis.com/google.crypto.tink.AesGcmKey"))
	data = protobuf.AppendVarint(protobuf.AppendBytes(data, 2, key), 3, symmetric)
	entry := protobuf.AppendVarint(protobuf.AppendBytes(nil, 1, data), 2, enabled)
	entry = protobuf.AppendVarint(protobuf.AppendVarint(entry, 3, uint64(k.id)), 4, tink)
	return base64.StdEncoding.EncodeToString(protobuf.AppendBytes(protobuf.AppendVarint(nil, 1, uint64(k.id)), 2, entry))
}

// opens reports whether sealed was sealed with k.
func (k *sessionKey) opens(sealed string) bool {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	prefix := binary.BigEndian.AppendUint32([]byte{1}, k.id)
	if err != nil || !strings.HasPrefix(string(b), string(prefix)) {
		return false
	}
	block, err := aes.NewCipher(k.value[:])
	if err != nil {
		return false
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return false
	}
	_, err = aead.Open(nil, nil, b[len(prefix):], nil)
	return err == nil
}
