package fsm

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// ordinary are commands that the quick decoder is meant for.
func ordinary() []*fsmpb.Command {
	call := &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: 9, AckedBelow: 7, Repeat: true}
	submit := submitCmd(
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", Payload: []byte("hello"), ContentType: "text/plain"},
		&fsmpb.TaskSpec{Queue: "mail", Kind: "send", Payload: []byte("again"), Priority: new(int32(-3)), Delay: Second},
		&fsmpb.TaskSpec{Queue: "news", Timeout: new(int64(-1)), MaxAttempts: new(uint32(4)), ExpiresIn: 5, RequestId: "r1", ContentDigest: 1 << 63, Retain: new(int64(6))},
		&fsmpb.TaskSpec{},
	)
	submit.Principal, submit.Call = "client:01020304", call
	complete := completeCmd("w01/b1",
		&fsmpb.Completion{Task: 5, Fence: 9, Digest: 1 << 60, Result: []byte("ok"), ContentType: "text/plain"},
		&fsmpb.Completion{Task: 6, Fence: 10}, &fsmpb.Completion{})
	complete.Principal = "worker:w01"
	return []*fsmpb.Command{submit, assignCmd(3, 16), complete, assignCmd(0, 0), completeCmd("w01/b1")}
}

// TestQuickDecoder: the ordinary commands are decoded by it, and as protobuf does.
func TestQuickDecoder(t *testing.T) {
	for _, want := range ordinary() {
		b, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got fsmpb.Command
		if !new(Decoder).command(b, &got) {
			t.Errorf("not decoded quickly: %v", want)
		} else if !proto.Equal(&got, want) {
			t.Errorf("decoded %v, want %v", &got, want)
		}
	}
}

// FuzzDecodeCommands: whatever the bytes, the decoder says what protobuf and the
// check for unknown fields say.
func FuzzDecodeCommands(f *testing.F) {
	add := func(cmds ...*fsmpb.Command) {
		b, err := proto.Marshal(&fsmpb.Commands{Commands: cmds})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(ordinary()...)
	for _, c := range everyCommand() {
		add(c)
		add(append(ordinary(), c)...)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		quick, err := new(Decoder).commands(b)
		slow, slowErr := decodeSlowly(b)
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("error = %v, protobuf's %v", err, slowErr)
		}
		if err != nil {
			return
		}
		if !proto.Equal(&fsmpb.Commands{Commands: quick}, &fsmpb.Commands{Commands: slow}) {
			t.Fatalf("decoded %v, protobuf has %v", quick, slow)
		}
	})
}

// TestDecoderReuse: what is taken back is given out again, zeroed, and what was
// given out before a slab grew stays as it was.
func TestDecoderReuse(t *testing.T) {
	var d Decoder
	for round := range 3 {
		for _, want := range ordinary() {
			var decoded []*fsmpb.Command
			for range 40 { // more than slabLeast specs
				b, err := proto.Marshal(&fsmpb.Commands{Commands: []*fsmpb.Command{want}})
				if err != nil {
					t.Fatal(err)
				}
				got, err := d.commands(b)
				if err != nil {
					t.Fatal(err)
				}
				decoded = append(decoded, got...)
			}
			for _, got := range decoded {
				if !proto.Equal(got, want) {
					t.Fatalf("round %d: decoded %v, want %v", round, got, want)
				}
			}
			d.scribble()
			d.Reset()
		}
	}
	var s slab[int]
	s.take(slabMost + 1)
	if s.reset(); cap(s.items) != 0 {
		t.Errorf("%d items are kept, want none after one large entry", cap(s.items))
	}
}
