package gcp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/protobuf"
)

// sessionKey seals boundaries for an intermediary token. It is the primary key
// of a keyset of Tink's (https://developers.google.com/tink/wire-format), which
// is one for AES-GCM.
type sessionKey struct {
	aead   cipher.AEAD // puts a random nonce before what it seals
	prefix []byte      // says which key of the keyset it was
}

func (k sessionKey) seal(plain []byte) []byte {
	return k.aead.Seal(k.prefix, nil, plain, nil)
}

// sessionKeyOf returns the key that came with an intermediary token. Its errors
// do not quote it.
func sessionKeyOf(t *oauth2.Token) (sessionKey, error) {
	text, _ := t.Extra(sessionKeyMember).(string)
	if text == "" {
		return sessionKey{}, errors.New("the answer has no " + sessionKeyMember + ": this token service has no client-side access boundaries")
	}
	keyset, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return sessionKey{}, errors.New("the " + sessionKeyMember + " of the answer is not base64")
	}
	k, err := primaryKey(keyset)
	if err != nil {
		return sessionKey{}, fmt.Errorf("the %s of the answer %w", sessionKeyMember, err)
	}
	return k, nil
}

var errNoMessage = errors.New("is not a Tink keyset")

// primaryKey returns the key with which a Keyset is to be used.
func primaryKey(keyset []byte) (sessionKey, error) {
	var id uint64
	var keys [][]byte
	ok := protobuf.EachField(keyset, func(number int, n uint64, data []byte) {
		switch number {
		case 1:
			id = n
		case 2:
			keys = append(keys, data)
		}
	})
	if !ok {
		return sessionKey{}, errNoMessage
	}
	for _, data := range keys {
		k, ok := readKey(data)
		if !ok {
			return sessionKey{}, errNoMessage
		}
		if k.id == id && k.status == statusEnabled {
			return k.sealer()
		}
	}
	return sessionKey{}, errors.New("has no primary key that is enabled")
}

// The values of Tink's enumerations that are used here.
const (
	statusEnabled = 1

	prefixTink   = 1
	prefixLegacy = 2
	prefixRaw    = 3
	prefixCrunch = 4
)

// The names of key types.
const (
	tinkTypes = "type.googleapis.com/google.crypto.tink."
	aesGCM    = tinkTypes + "AesGcmKey"
)

var tinkType = regexp.MustCompile(`^` + regexp.QuoteMeta(tinkTypes) + `[A-Za-z0-9]{1,50}$`)

// tinkKey is a Keyset.Key.
type tinkKey struct {
	typeURL            string
	value              []byte // a message of that type
	status, id, prefix uint64
}

func readKey(data []byte) (k tinkKey, ok bool) {
	var keyData []byte
	ok = protobuf.EachField(data, func(number int, n uint64, data []byte) {
		switch number {
		case 1:
			keyData = data
		case 2:
			k.status = n
		case 3:
			k.id = n
		case 4:
			k.prefix = n
		}
	})
	return k, protobuf.EachField(keyData, func(number int, _ uint64, data []byte) {
		switch number {
		case 1:
			k.typeURL = string(data)
		case 2:
			k.value = data
		}
	}) && ok
}

func (k tinkKey) sealer() (sessionKey, error) {
	if k.typeURL != aesGCM {
		return sessionKey{}, fmt.Errorf("has a key of %s, and AesGcmKey is what can be used", k.typeName())
	}
	var version uint64
	var value []byte
	ok := protobuf.EachField(k.value, func(number int, n uint64, data []byte) {
		switch number {
		case 1:
			version = n
		case 3:
			value = data
		}
	})
	switch {
	case !ok:
		return sessionKey{}, errNoMessage
	case version != 0:
		return sessionKey{}, fmt.Errorf("has a key of version %d, and 0 is what can be used", version)
	}
	block, err := aes.NewCipher(value)
	if err != nil {
		return sessionKey{}, fmt.Errorf("has a key of %d bytes", len(value))
	}
	prefix, err := k.outputPrefix()
	if err != nil {
		return sessionKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sessionKey{aead, prefix}, err
}

// typeName returns the type of k to show. What is not one of Tink's may be
// anything, the key among it.
func (k tinkKey) typeName() string {
	if !tinkType.MatchString(k.typeURL) {
		return "a type that is not Tink's"
	}
	return "the type " + strings.TrimPrefix(k.typeURL, tinkTypes)
}

func (k tinkKey) outputPrefix() ([]byte, error) {
	id := binary.BigEndian.AppendUint32(nil, uint32(k.id))
	switch k.prefix {
	case prefixTink:
		return append([]byte{1}, id...), nil
	case prefixLegacy, prefixCrunch:
		return append([]byte{0}, id...), nil
	case prefixRaw:
		return nil, nil
	}
	return nil, fmt.Errorf("has a key with the unknown output prefix %d", k.prefix)
}
