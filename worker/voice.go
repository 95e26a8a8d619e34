package worker

import (
	"slices"
	"time"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// voice is what one attempt says before it ends, and the end of its output. It is
// made when the handler first says something.
type voice struct {
	l       *live
	task    uint64
	fence   uint64
	attempt uint32

	// The rest is guarded by live.mu.
	latest *taskraftv1.Progress      // never changed
	chunks []*taskraftv1.OutputChunk // oldest first; not changed once sent
	bytes  int                       // in chunks, with their cost
	next   uint64                    // offset of the next byte
	sent   uint64                    // offset behind what was sent on this stream
	told   bool                      // latest was sent on this stream
	over   bool                      // the attempt writes no more
	closed bool                      // that was sent on this stream
	turn   bool                      // in live.turns
	until  time.Time                 // when to forget it, once its outcome was seen
}

// voice returns the attempt's voice.
func (a *attempt) voice() *voice {
	if v := a.said.Load(); v != nil {
		return v
	}
	l := a.live
	l.mu.Lock()
	defer l.mu.Unlock()
	v := a.said.Load()
	if v == nil {
		v = &voice{l: l, task: a.task.ID, fence: a.task.Fence, attempt: uint32(a.task.Attempt)}
		l.voices[v.fence] = v
		a.said.Store(v)
		if a.gone.Load() { // a goroutine that the handler has left behind
			v.over = true
			delete(l.voices, v.fence)
		}
	}
	return v
}

func (v *voice) progress(p *taskraftv1.Progress) {
	p.Task, p.Fence = v.task, v.fence
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	if !v.over {
		v.latest, v.told = p, false
		v.l.want(v)
	}
}

// write keeps the end of what is written.
func (v *voice) write(s taskraftv1.OutputStream, p []byte) {
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	if v.over || len(p) == 0 {
		return
	}
	if n := len(p) - v.l.keep; n > 0 {
		clear(v.chunks)
		v.chunks, v.bytes = v.chunks[:0], 0
		v.next += uint64(n)
		p = p[n:]
	}
	for len(p) > 0 {
		c := v.room(s)
		n := min(len(p), v.l.chunk-len(c.GetData()))
		c.Data = append(c.Data, p[:n]...)
		p, v.next, v.bytes = p[n:], v.next+uint64(n), v.bytes+n
	}
	n := 0
	for ; v.bytes > v.l.keep && n < len(v.chunks)-1; n++ {
		v.bytes -= len(v.chunks[n].GetData()) + chunkCost
	}
	v.chunks = slices.Delete(v.chunks, 0, n)
	v.l.want(v)
}

// room returns a chunk that can be appended to.
func (v *voice) room(s taskraftv1.OutputStream) *taskraftv1.OutputChunk {
	if n := len(v.chunks); n > 0 {
		c := v.chunks[n-1]
		if c.GetStream() == s && c.GetOffset() >= v.sent && len(c.GetData()) < v.l.chunk {
			return c
		}
	}
	c := &taskraftv1.OutputChunk{Task: v.task, Fence: v.fence, Attempt: v.attempt, Offset: v.next, Stream: s}
	v.chunks = append(v.chunks, c)
	v.bytes += chunkCost
	return c
}

// unsaid reports whether there is something to send.
func (v *voice) unsaid() bool {
	return v.latest != nil && !v.told || v.sent < v.next || v.over && !v.closed
}

// output appends what was not sent, up to a number of bytes, and returns how many
// there were. The end is told with the last of it.
func (v *voice) output(out []*taskraftv1.OutputChunk, most int) ([]*taskraftv1.OutputChunk, int) {
	n := 0
	for _, c := range v.chunks {
		if c.GetOffset() < v.sent {
			continue
		}
		if n+len(c.GetData()) > most {
			return out, n
		}
		n += len(c.GetData())
		v.sent = c.GetOffset() + uint64(len(c.GetData()))
		out = append(out, c)
	}
	v.sent = v.next
	if v.over && !v.closed {
		v.closed = true
		out = append(out, &taskraftv1.OutputChunk{Task: v.task, Fence: v.fence, Attempt: v.attempt, Offset: v.next, End: true})
	}
	return out, n
}
