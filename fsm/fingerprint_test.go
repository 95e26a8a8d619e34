package fsm

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"no such user":                         "no such user",
		"  dial tcp 10.0.0.7:5432:  refused\n": "dial tcp #.#.#.#:#: refused",
		`open "/tmp/a b.txt": no such file`:    "open #: no such file",
		"user 'bob' can't log in":              "user # can't log in",
		"row 17 of 1042":                       "row # of #",
		"at 0x7fff5fbff8c0 in main":            "at # in main",
		"commit 2b3f304e9 is missing":          "commit # is missing",
		"id 6f9619ff-8b86-d011-b42d-00cf4fc964ff gone": "id # gone",
		"defaced facade":         "defaced facade",
		"worker7 lost":           "worker# lost",
		`an open " quote`:        `an open " quote`,
		strings.Repeat("é", 200): strings.Repeat("é", maxFingerprint/2),
	} {
		if got := Fingerprint(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzFingerprint: a fingerprint is its own, no longer than what is looked at, and
// does not depend on which number stands in the text.
func FuzzFingerprint(f *testing.F) {
	f.Add("dial tcp 10.0.0.7:5432: refused 'x'", uint8(3))
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		got := Fingerprint(text)
		if len(got) > maxFingerprint || got != Fingerprint(text) {
			t.Fatalf("%q gives %q", text, got)
		}
		plain := strings.Map(func(r rune) rune {
			if r == '"' || r == '`' || r == '\'' {
				return -1
			}
			return r
		}, Clip(text, 100))
		a, b := plain+" "+strings.Repeat("1", 1+int(n%3)), plain+" "+strings.Repeat("9", 1+int(n/64))
		if Fingerprint(a) != Fingerprint(b) {
			t.Fatalf("%q and %q differ: %q, %q", a, b, Fingerprint(a), Fingerprint(b))
		}
	})
}
