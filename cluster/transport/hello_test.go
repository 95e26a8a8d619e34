package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestHelloRoundTrip(t *testing.T) {
	long := strings.Repeat("x", maxField)
	for _, h := range []hello{
		{KindIdentify, "", "", "", "b", ""},
		{KindRaft, "c", "n1/a", "n2/b", "boot", "127.0.0.1:7401"},
		{KindWatch, long, long, long, long, long},
	} {
		var b bytes.Buffer
		if err := h.write(&b); err != nil {
			t.Fatal(err)
		}
		b.WriteString("rest")
		got, err := readHello(&b)
		if err != nil || got != h {
			t.Errorf("read %+v, %v; want %+v", got, err, h)
		}
		if b.String() != "rest" {
			t.Errorf("read past the frame: %q left", b.String())
		}
	}
	if err := (hello{cluster: long + "x"}).write(io.Discard); err == nil {
		t.Error("wrote a field of 256 bytes")
	}
}

// TestHelloGarbage: what is no hello is refused without waiting for more of it.
func TestHelloGarbage(t *testing.T) {
	for name, in := range map[string]string{
		"http":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"too long":     magic + "\x01\x01\xff\xff",
		"no fields":    magic + "\x01\x01\x00\x00",
		"short field":  magic + "\x01\x01\x00\x02\x05a",
		"trailing":     magic + "\x01\x01\x00\x07\x00\x00\x00\x01b\x00z",
		"kind 0":       magic + "\x01\x00\x00\x06\x00\x00\x00\x01b\x00",
		"kind 9":       magic + "\x01\x09\x00\x06\x00\x00\x00\x01b\x00",
		"without boot": magic + "\x01\x01\x00\x05\x00\x00\x00\x00\x00",
	} {
		if _, err := readHello(strings.NewReader(in)); !errors.Is(err, errGarbage) {
			t.Errorf("%s: %v, want errGarbage", name, err)
		}
	}
	var other versionError
	if _, err := readHello(strings.NewReader(magic + "\x07\x01\x00\x02zz")); !errors.As(err, &other) || other.got != 7 {
		t.Errorf("version 7: %v", err)
	}
}

func FuzzHello(f *testing.F) {
	var b bytes.Buffer
	_ = hello{KindRaft, "c", "n1/a", "n2/b", "boot", "127.0.0.1:7401"}.write(&b)
	f.Add(b.Bytes())
	f.Add([]byte(magic + "\x01\x01\x00\x06\x00\x00\x00\x01b\x00"))
	f.Add([]byte(magic + "\x01\x01\x00\x02\xffa"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if h, err := readHello(bytes.NewReader(in)); err == nil {
			var out bytes.Buffer
			if err := h.write(&out); err != nil || !bytes.HasPrefix(in, out.Bytes()) {
				t.Errorf("%x read as %+v, written as %x, %v", in, h, out.Bytes(), err)
			}
		}
		_, _ = readAnswer(bytes.NewReader(in))
	})
}

func FuzzFrame(f *testing.F) {
	for _, fr := range []frame{
		{kind: frameCall, call: 7, budget: time.Second, method: "echo", body: []byte(`{"S":"x"}`)},
		{kind: frameReply, call: 1 << 60, body: []byte(`{}`)},
		{kind: frameError, body: []byte("no")},
	} {
		b, err := fr.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x00\x00\x00\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		fr, err := readCallFrame(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		if fr.budget > 1<<31*time.Millisecond {
			return // encode caps what no caller sends
		}
		out, err := fr.encode()
		if err != nil || !bytes.HasPrefix(in, out) {
			t.Errorf("%x read as %+v, written as %x, %v", in, fr, out, err)
		}
	})
}
