package protobuf_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/internal/protobuf"
)

type field struct {
	Number int
	V      uint64
	Data   string
}

func TestEachField(t *testing.T) {
	for _, tt := range []struct {
		name, message string // in hexadecimal
		want          []field
		ok            bool
	}{
		{"nothing", "", nil, true},
		{"the number of the encoding's documentation", "089601", []field{{1, 150, ""}}, true},
		{"its string", "120774657374696e67", []field{{2, 0, "testing"}}, true},
		{"an empty string", "1200", []field{{2, 0, ""}}, true},
		{"the largest number", "08ffffffffffffffffff01", []field{{1, 1<<64 - 1, ""}}, true},
		{"a number above 15", "820100", []field{{16, 0, ""}}, true},
		{"eight bytes and four", "090102030405060708" + "1501020304" + "1801", []field{{1, 0, ""}, {2, 0, ""}, {3, 1, ""}}, true},
		{"a field twice", "08010802", []field{{1, 1, ""}, {1, 2, ""}}, true},

		{"a tag without an end", "80", nil, false},
		{"a tag alone", "08", nil, false},
		{"a number without an end", "0801" + "0880", []field{{1, 1, ""}}, false},
		{"a number beyond 64 bits", "08ffffffffffffffffff02", nil, false},
		{"a length without an end", "12ff", nil, false},
		{"a length beyond the end", "120374", nil, false},
		{"a length beyond any end", "12ffffffffffffffffff01", nil, false},
		{"eight bytes, cut", "0901020304050607", nil, false},
		{"four bytes, cut", "15010203", nil, false},
		{"a group, which nothing uses", "0b", nil, false},
		{"a kind that there is not", "0f", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			message, err := hex.DecodeString(tt.message)
			if err != nil {
				t.Fatal(err)
			}
			var got []field
			ok := protobuf.EachField(message, func(number int, v uint64, data []byte) {
				got = append(got, field{number, v, string(data)})
			})
			if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
				t.Errorf("%t, want %t; fields (-want +got):\n%s", ok, tt.ok, diff)
			}
		})
	}
}

func TestAppend(t *testing.T) {
	message := protobuf.AppendVarint([]byte("x"), 1, 150)
	message = protobuf.AppendBytes(message, 2, []byte("testing"))
	if got := hex.EncodeToString(message); got != "78"+"089601"+"120774657374696e67" {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("a", 300)
	message = protobuf.AppendBytes(nil, 100, []byte(long))
	if got := hex.EncodeToString(message[:4]); got != "a206ac02" || string(message[4:]) != long {
		t.Errorf("got %x", message)
	}
}
