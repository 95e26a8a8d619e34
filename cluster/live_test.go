package cluster

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func chunk(fence, offset uint64, text string) Output {
	return Output{Task: 1, Fence: fence, Offset: offset, Data: []byte(text)}
}

// told is what a reader behind p gets, with the gaps.
func told(v *live, p mark) string {
	out, over, _ := v.read(1, p)
	var b strings.Builder
	for i := range out {
		o := &out[i]
		if from := map[bool]uint64{true: p.offset}[o.Fence == p.fence]; o.Offset > from {
			fmt.Fprintf(&b, "[%d]", o.Offset-from)
		}
		b.Write(o.Data)
		p = o.behind()
	}
	if over != 0 {
		fmt.Fprintf(&b, "|%d", over)
	}
	return b.String()
}

// Whatever is said twice, late or with gaps, a reader gets each byte once.
func TestLiveOutput(t *testing.T) {
	for name, tt := range map[string]struct {
		chunks []Output
		from   mark
		want   string
	}{
		"in order":          {[]Output{chunk(7, 0, "ab"), chunk(7, 2, "cd")}, mark{}, "abcd"},
		"from the middle":   {[]Output{chunk(7, 0, "ab"), chunk(7, 2, "cd")}, mark{7, 1}, "bcd"},
		"from the end":      {[]Output{chunk(7, 0, "ab")}, mark{7, 2}, ""},
		"said again":        {[]Output{chunk(7, 0, "ab"), chunk(7, 0, "ab"), chunk(7, 1, "bcd")}, mark{}, "abcd"},
		"with a gap":        {[]Output{chunk(7, 0, "ab"), chunk(7, 9, "c")}, mark{}, "ab[7]c"},
		"the next attempt":  {[]Output{chunk(7, 0, "ab"), chunk(9, 0, "c")}, mark{7, 1}, "bc"},
		"an older attempt":  {[]Output{chunk(9, 0, "c"), chunk(7, 0, "ab")}, mark{}, "c"},
		"its end":           {[]Output{chunk(7, 0, "ab"), {Task: 1, Fence: 7, Offset: 2, End: true}}, mark{}, "ab|7"},
		"a lost end":        {[]Output{chunk(7, 0, "ab"), {Task: 1, Fence: 7, Offset: 9, End: true}}, mark{}, "ab[7]|7"},
		"no output, an end": {[]Output{{Task: 1, Fence: 7, End: true}}, mark{}, "|7"},
	} {
		v := newLive()
		v.hear(nil, tt.chunks)
		if got := told(v, tt.from); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// However much is said of however many tasks, memory is bounded, and the counts
// are right.
func TestLiveIsBounded(t *testing.T) {
	v := newLive()
	followed := &Follow{id: 1, wake: newBell()}
	v.heard(1).follows = []*Follow{followed}
	rng := rand.New(rand.NewPCG(1, 2))
	offsets := make(map[uint64]uint64)
	for range 40_000 {
		id := 1 + rng.Uint64N(30_000)
		data := make([]byte, rng.IntN(8<<10))
		v.hear([]*Progress{{Task: id, Fence: 5}}, []Output{{Task: id, Fence: 5, Offset: offsets[id], Data: data}})
		offsets[id] += uint64(len(data))
	}
	sum := 0
	for id, task := range v.tasks {
		bytes := 0
		for _, o := range task.chunks {
			bytes += len(o.Data) + chunkBytes
		}
		if bytes != task.bytes || bytes > MaxOutput+8<<10 {
			t.Fatalf("task %d: %d bytes counted, %d kept", id, task.bytes, bytes)
		}
		sum += bytes
	}
	if sum != v.bytes || v.bytes > maxLiveBytes || len(v.tasks) > maxLiveTasks || v.order.Len() != len(v.tasks) {
		t.Errorf("%d bytes of %d tasks counted, %d kept", v.bytes, len(v.tasks), sum)
	}
	if v.tasks[1] == nil {
		t.Error("the task that is followed was forgotten")
	}
	t.Logf("%d bytes of %d tasks", v.bytes, len(v.tasks))
}
