package fsm

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Decoder decodes entries. Every master decodes every entry, so the three commands
// of a task's ordinary life have a decoder of their own, which allocates less than
// half as often and puts a command's items where Reset finds them again. It knows
// their common fields only; whatever else it meets (another kind, a rarer field, a
// field twice) it leaves to protobuf. What it accepts, it decodes as protobuf does:
// FuzzDecodeCommands compares the two. The zero value is ready for use.
type Decoder struct {
	specs       slab[fsmpb.TaskSpec]
	completions slab[fsmpb.Completion]
}

// Reset takes back the memory of all entries decoded so far. They may have been
// applied: the table keeps strings, payloads and results of them, never the items
// themselves.
func (d *Decoder) Reset() {
	d.specs.reset()
	d.completions.reset()
}

// commands decodes the body of an entry.
func (d *Decoder) commands(b []byte) ([]*fsmpb.Command, error) {
	n, ok := countField(b, 1)
	if !ok {
		return decodeSlowly(b)
	}
	all := make([]fsmpb.Command, n)
	cmds := make([]*fsmpb.Command, n)
	for i := range cmds {
		_, _, tag := protowire.ConsumeTag(b)
		body, size := protowire.ConsumeBytes(b[tag:])
		b = b[tag+size:]
		cmds[i] = &all[i]
		if d.command(body, &all[i]) {
			continue
		}
		all[i].Reset()
		if err := proto.Unmarshal(body, &all[i]); err != nil {
			return nil, fmt.Errorf("command %d: %w: %w", i, ErrCorrupt, err)
		}
		if err := checkCommand(i, &all[i]); err != nil {
			return nil, err
		}
	}
	return cmds, nil
}

// decodeSlowly has protobuf decode the whole body.
func decodeSlowly(b []byte) ([]*fsmpb.Command, error) {
	var body fsmpb.Commands
	if err := proto.Unmarshal(b, &body); err != nil {
		return nil, fmt.Errorf("entry body: %w: %w", ErrCorrupt, err)
	}
	return body.Commands, checkCommands(&body)
}

// countField returns how many fields b has, if all are of that number and made of
// bytes.
func countField(b []byte, want protowire.Number) (n int, ok bool) {
	for len(b) > 0 {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 || num != want || typ != protowire.BytesType {
			return 0, false
		}
		_, size := protowire.ConsumeBytes(b[tag:])
		if size < 0 {
			return 0, false
		}
		b = b[tag+size:]
		n++
	}
	return n, true
}

// fields walks the fields of a message. It stops, and is not ok, at what the quick
// decoder does not take: groups, 32-bit numbers, a field twice.
type fields struct {
	rest  []byte
	num   protowire.Number
	typ   protowire.Type
	value uint64 // of a number
	bytes []byte // of bytes; aliases
	seen  uint64 // bit set of numbers below 64
	bad   bool
}

func (f *fields) next() bool {
	if len(f.rest) == 0 || f.bad {
		return false
	}
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 || num >= 64 || f.seen&(1<<num) != 0 {
		f.bad = true
		return false
	}
	f.seen |= 1 << num
	f.num, f.typ, f.rest = num, typ, f.rest[n:]
	switch typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(f.rest)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	default:
		n = -1
	}
	if n < 0 {
		f.bad = true
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// number, fixed, text and blob take the present field if it has that type.
func (f *fields) number() uint64 {
	f.bad = f.bad || f.typ != protowire.VarintType
	return f.value
}

func (f *fields) fixed() uint64 {
	f.bad = f.bad || f.typ != protowire.Fixed64Type
	return f.value
}

// text returns the field as a string, last's when it is the same.
func (f *fields) text(last string) string {
	switch {
	case f.typ != protowire.BytesType || !utf8.Valid(f.bytes):
		f.bad = true
		return ""
	case string(f.bytes) == last:
		return last
	}
	return string(f.bytes)
}

// blob returns a copy: the entry's bytes must not stay in memory for one of them.
func (f *fields) blob() []byte {
	f.bad = f.bad || f.typ != protowire.BytesType
	if f.bad {
		return nil
	}
	return append(make([]byte, 0, len(f.bytes)), f.bytes...)
}

// The field numbers of Command.kind.
const (
	kindSubmit   = 16
	kindAssign   = 17
	kindComplete = 18
)

// command decodes a Submit, an Assign or a Complete.
func (d *Decoder) command(b []byte, c *fsmpb.Command) bool {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			c.Principal = f.text("")
		case 2:
			c.Call = new(fsmpb.Call)
			f.bad = f.bad || f.typ != protowire.BytesType || !quickCall(f.bytes, c.Call)
		case kindSubmit, kindAssign, kindComplete:
			f.bad = f.bad || f.typ != protowire.BytesType || c.Kind != nil || !d.kind(f.num, f.bytes, c)
		default:
			return false
		}
	}
	return !f.bad && c.Kind != nil
}

func (d *Decoder) kind(num protowire.Number, b []byte, c *fsmpb.Command) bool {
	switch num {
	case kindSubmit:
		k := &struct {
			fsmpb.Command_Submit
			message fsmpb.Submit
		}{}
		k.Submit, c.Kind = &k.message, &k.Command_Submit
		return d.submit(b, &k.message)
	case kindAssign:
		k := &struct {
			fsmpb.Command_Assign
			message fsmpb.Assign
		}{}
		k.Assign, c.Kind = &k.message, &k.Command_Assign
		return quickAssign(b, &k.message)
	default:
		k := &struct {
			fsmpb.Command_Complete
			message fsmpb.Complete
		}{}
		k.Complete, c.Kind = &k.message, &k.Command_Complete
		return d.complete(b, &k.message)
	}
}

func quickCall(b []byte, c *fsmpb.Call) bool {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			if c.Client = f.blob(); len(c.Client) == 0 {
				return false
			}
		case 2:
			c.Seq = f.number()
		case 3:
			c.AckedBelow = f.number()
		case 4:
			c.Repeat = f.number() != 0
		default:
			return false
		}
	}
	return !f.bad
}

func quickAssign(b []byte, a *fsmpb.Assign) bool {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			a.Session = f.number()
		case 2:
			a.N = uint32(f.number())
		default:
			return false
		}
	}
	return !f.bad
}

func (d *Decoder) submit(b []byte, s *fsmpb.Submit) bool {
	n, ok := countField(b, 1)
	if !ok {
		return false
	}
	all := d.specs.take(n)
	s.Tasks = make([]*fsmpb.TaskSpec, n)
	var last *fsmpb.TaskSpec
	for i := range s.Tasks {
		_, _, tag := protowire.ConsumeTag(b)
		body, size := protowire.ConsumeBytes(b[tag:])
		b = b[tag+size:]
		s.Tasks[i] = &all[i]
		if !quickSpec(body, &all[i], last) {
			return false
		}
		last = &all[i]
	}
	return true
}

// quickSpec decodes a task; strings that it has in common with the last one share
// their memory.
func quickSpec(b []byte, t, last *fsmpb.TaskSpec) bool {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			t.Queue = f.text(last.GetQueue())
		case 2:
			t.Kind = f.text(last.GetKind())
		case 3:
			if t.Payload = f.blob(); len(t.Payload) == 0 {
				return false
			}
		case 4:
			t.ContentType = f.text(last.GetContentType())
		case 5:
			t.Priority = new(int32(protowire.DecodeZigZag(f.number() & 0xffffffff)))
		case 7:
			t.Delay = int64(f.number())
		case 8:
			t.Timeout = new(int64(f.number()))
		case 9:
			t.MaxAttempts = new(uint32(f.number()))
		case 12:
			t.ExpiresIn = int64(f.number())
		case 13:
			t.RequestId = f.text("")
		case 14:
			t.ContentDigest = f.fixed()
		case 15:
			t.Retain = new(int64(f.number()))
		case 55:
			if t.Traceparent = f.blob(); len(t.Traceparent) == 0 {
				return false
			}
		case 56:
			t.Tracestate = f.text(last.GetTracestate())
		default:
			return false
		}
	}
	return !f.bad
}

func (d *Decoder) complete(b []byte, c *fsmpb.Complete) bool {
	items := 0
	for rest := b; len(rest) > 0; items++ { // about: worker and boot are counted, too
		n := protowire.ConsumeFieldValue(3, protowire.BytesType, rest[1:])
		if n < 0 {
			return false
		}
		rest = rest[1+n:]
	}
	all := d.completions.take(items)
	c.Items = make([]*fsmpb.Completion, 0, items)
	f := fields{rest: b}
	var last *fsmpb.Completion
	for f.next() {
		switch f.num {
		case 1:
			c.Worker = f.text("")
		case 2:
			c.Boot = f.text("")
		case 3:
			f.seen &^= 1 << 3
			it := &all[len(c.Items)]
			if f.typ != protowire.BytesType || !quickCompletion(f.bytes, it, last) {
				return false
			}
			c.Items = append(c.Items, it)
			last = it
		default:
			return false
		}
	}
	return !f.bad
}

func quickCompletion(b []byte, it, last *fsmpb.Completion) bool {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			it.Task = f.number()
		case 2:
			it.Fence = f.number()
		case 3:
			it.Digest = f.fixed()
		case 4:
			if it.Result = f.blob(); len(it.Result) == 0 {
				return false
			}
		case 5:
			it.ContentType = f.text(last.GetContentType())
		default:
			return false
		}
	}
	return !f.bad
}
