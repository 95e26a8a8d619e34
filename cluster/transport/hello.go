package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind is what a connection carries.
type Kind uint8

// The kinds of connection.
const (
	KindRaft Kind = iota + 1
	KindPeer
	KindWatch
	KindIdentify
	KindFeed
)

func (k Kind) String() string {
	switch k {
	case KindRaft:
		return "raft"
	case KindPeer:
		return "peer"
	case KindWatch:
		return "watch"
	case KindIdentify:
		return "identify"
	case KindFeed:
		return "feed"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Layout of both frames of the handshake, frozen so that any two versions can
// tell each other that they differ: magic, version, tag, length of the body
// (big-endian), body. The body is a row of strings, each led by its length in
// one byte.
const (
	magic      = "TKRF"
	version    = 1
	headerSize = 8
	maxField   = 255
	maxHello   = 6 * (1 + maxField)
)

// errGarbage is what a peer that does not speak this protocol causes.
var errGarbage = errors.New("not a taskraft handshake")

// versionError reports a well-formed frame of another version.
type versionError struct{ got uint8 }

func (e versionError) Error() string {
	return fmt.Sprintf("handshake version %d, this node speaks %d", e.got, version)
}

// hello is the first frame on a connection, sent by the caller.
type hello struct {
	kind    Kind
	cluster string
	caller  string // server id, empty before adoption
	callee  string // server id, empty with KindIdentify
	boot    string // of the calling process
	addr    string // where the calling process listens
}

// answer is the second frame, sent by the callee.
type answer struct {
	reason  Reason // 0: accepted
	cluster string
	server  string
	boot    string
}

func (h hello) write(w io.Writer) error {
	return writeFrame(w, uint8(h.kind), h.cluster, h.caller, h.callee, h.boot, h.addr)
}

func readHello(r io.Reader) (hello, error) {
	var h hello
	tag, err := readFrame(r, &h.cluster, &h.caller, &h.callee, &h.boot, &h.addr)
	h.kind = Kind(tag)
	if err == nil && (h.kind < KindRaft || h.kind > KindFeed || h.boot == "") {
		err = errGarbage
	}
	return h, err
}

func (a answer) write(w io.Writer) error {
	return writeFrame(w, uint8(a.reason), a.cluster, a.server, a.boot)
}

func readAnswer(r io.Reader) (answer, error) {
	var a answer
	tag, err := readFrame(r, &a.cluster, &a.server, &a.boot)
	a.reason = Reason(tag)
	return a, err
}

func writeFrame(w io.Writer, tag uint8, fields ...string) error {
	b := make([]byte, headerSize, headerSize+maxHello)
	copy(b, magic)
	b[4], b[5] = version, tag
	for _, f := range fields {
		if len(f) > maxField {
			return fmt.Errorf("handshake field of %d bytes, at most %d are allowed", len(f), maxField)
		}
		b = append(b, byte(len(f)))
		b = append(b, f...)
	}
	binary.BigEndian.PutUint16(b[6:], uint16(len(b)-headerSize))
	_, err := w.Write(b)
	return err
}

// readFrame reads exactly one frame, never a byte more, and fills the fields.
func readFrame(r io.Reader, fields ...*string) (tag uint8, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[6:]))
	if string(head[:4]) != magic || n > maxHello {
		return 0, errGarbage
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, err
	}
	if head[4] != version {
		return 0, versionError{head[4]}
	}
	for _, f := range fields {
		if len(body) == 0 || len(body) < 1+int(body[0]) {
			return 0, errGarbage
		}
		n := 1 + int(body[0])
		*f, body = string(body[1:n]), body[n:]
	}
	if len(body) != 0 {
		return 0, errGarbage
	}
	return head[5], nil
}
