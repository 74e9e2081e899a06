package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-sts/sts/internal/jwt"
)

func TestExpiry(t *testing.T) {
	raw, padded := base64.RawURLEncoding.EncodeToString, base64.URLEncoding.EncodeToString
	header := raw([]byte(`{"alg":"none"}`))
	claims := func(s string) string { return header + "." + raw([]byte(s)) + ".c2ln" }
	at := time.Unix
	for _, row := range []struct {
		name  string // why the row is here
		token string
		want  time.Time
	}{
		{name: "seconds", token: claims(`{"exp":1900000000,"iat":1}`), want: at(1900000000, 0)},
		{name: "a fraction is a NumericDate, too", token: claims(`{"exp":1900000000.5}`), want: at(1900000000, 5e8)},
		{name: "in scientific notation", token: claims(`{"exp":1.9e9}`), want: at(1900000000, 0)},
		{name: "the last second of the year 9999", token: claims(`{"exp":253402300799}`), want: at(253402300799, 0)},
		{name: "with padding, which some add", token: padded([]byte(`{"alg":"none"}`)) + "." + padded([]byte(`{"exp":1900000000}`)) + ".", want: at(1900000000, 0)},
		{name: "after others, one of them with its name", token: claims(`{ "sub" : "exp", "a\"exp":{"exp":1}, "exp" :
			1900000000 , "b":[{"exp":2}]}`), want: at(1900000000, 0)},
		{name: "twice, of which the last counts, as for encoding/json", token: claims(`{"exp":1,"exp":1900000000}`), want: at(1900000000, 0)},

		{name: "after the year 9999 no Time prints", token: claims(`{"exp":253402300800}`)},
		{name: "no exp", token: claims(`{"iat":1900000000}`)},
		{name: "null", token: claims(`{"exp":null}`)},
		{name: "zero", token: claims(`{"exp":0}`)},
		{name: "negative", token: claims(`{"exp":-1}`)},
		{name: "a string", token: claims(`{"exp":"1900000000"}`)},
		{name: "too large for a float", token: claims(`{"exp":1e999}`)},
		{name: "hexadecimal, which is no JSON", token: claims(`{"exp":0x71408000}`)},
		{name: "hexadecimal with an exponent, which ParseFloat would take", token: claims(`{"exp":0x1p30}`)},
		{name: "a plus sign, which is no JSON", token: claims(`{"exp":+1900000000}`)},
		{name: "a leading zero, which is no JSON", token: claims(`{"exp":01900000000}`)},
		{name: "too many names to look at all of the rest for each", token: claims("{" + strings.Repeat(`"exp":`, 100_000) + "1}"), want: at(1, 0)},
		{name: "header that is cut off", token: raw([]byte(`{"alg"`)) + "." + raw([]byte(`{"exp":1900000000}`)) + "."},
		{name: "claims that are a list of members", token: claims(`["exp":1900000000,1]`)},
		{name: "cut off in the number", token: claims(`{"exp":19000`)},
		{name: "cut off in the name", token: claims(`{"exp`)},
		{name: "cut off before the value", token: claims(`{"exp":`)},
		{name: "cut off in an escape", token: claims(`{"exp\`)},
		{name: "another's", token: claims(`{"act":{"exp":1900000000}}`)},
		{name: "claims that are no object", token: claims(`[]`)},
		{name: "a list", token: claims(`["exp",1900000000]`)},
		{name: "claims that are not JSON", token: claims(`exp`)},
		{name: "claims that are not base64", token: header + ".{}." + "c2ln"},
		{name: "header that is no object", token: raw([]byte(`"a"`)) + "." + raw([]byte(`{"exp":1900000000}`)) + "."},
		{name: "header that is not base64", token: "{}." + raw([]byte(`{"exp":1900000000}`)) + "."},
		{name: "two parts", token: header + "." + raw([]byte(`{"exp":1900000000}`))},
		{name: "one part", token: raw([]byte(`{"exp":1900000000}`))},
		{name: "opaque", token: "ya29.c.opaque"},
		{name: "empty", token: ""},
		{name: "dots", token: ".."},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := jwt.Expiry(row.token); !got.Equal(row.want) {
				t.Errorf("Expiry() = %v, want %v", got, row.want)
			}
		})
	}
}

// The expiry of any string is zero or a time that prints, and of claims that are
// JSON what encoding/json reads.
func FuzzExpiry(f *testing.F) {
	f.Add("e30", `{"exp":1900000000}`)
	f.Add("e30", `{"exp":1e300}`)
	f.Add("e30", `{"a":{"exp":1},"b":["exp"],"exp":2,"exp":3.5}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		got := jwt.Expiry(header + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".")
		if _, err := got.UTC().MarshalText(); err != nil || !got.IsZero() && got.Unix() < 0 {
			t.Errorf("Expiry() = %v: %v", got, err)
		}
		var members map[string]json.RawMessage
		if header != "e30" || strings.Contains(claims, "\\") || json.Unmarshal([]byte(claims), &members) != nil {
			return // a name may be escaped
		}
		var want float64
		if json.Unmarshal(members["exp"], &want) != nil || want <= 0 || want > 253402300799 {
			want = 0
		}
		if (want == 0) != got.IsZero() || want != 0 && got.Unix() != int64(want) {
			t.Errorf("Expiry() = %v, want %v seconds", got, want)
		}
	})
}
