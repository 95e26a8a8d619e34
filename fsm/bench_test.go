package fsm

import (
	"strconv"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

const benchBatch = 500

// benchSpecs is a batch of tasks with 256 bytes of payload.
func benchSpecs(n int) []*fsmpb.TaskSpec {
	payload := make([]byte, 256)
	specs := make([]*fsmpb.TaskSpec, n)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Queue: "bench", Kind: "noop", Payload: payload}
	}
	return specs
}

func encoded(b *testing.B, now int64, c *fsmpb.Command) []byte {
	e, err := EncodeEntry(nil, &Entry{Header: Header{Level: 1, Term: 1, Now: now}, Commands: []*fsmpb.Command{c}})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// benchTable is a table with one worker of 4,096 slots and a backlog.
func benchTable(b *testing.B, backlog int) *table {
	w := newTable(b)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a", Slots: MaxSlots, Queues: []*fsmpb.QueueWeight{{Queue: "bench"}}}))
	submit := encoded(b, w.now, submitCmd(benchSpecs(benchBatch)...))
	for n := 0; n < backlog; n += benchBatch {
		w.index++
		applyBytes(b, w.m, w.index, submit)
	}
	return w
}

// BenchmarkLifecycle is submit + assign + complete in batches of 500 with 256
// bytes of payload, decoding included; completions are encoded outside the clock.
func BenchmarkLifecycle(b *testing.B) {
	for _, backlog := range []int{0, 100_000} {
		b.Run("backlog="+strconv.Itoa(backlog), func(b *testing.B) {
			w := benchTable(b, backlog)
			submit := encoded(b, w.now, submitCmd(benchSpecs(benchBatch)...))
			assign := encoded(b, w.now, assignCmd(1, benchBatch))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w.index++
				applyBytes(b, w.m, w.index, submit)
				w.index++
				a := applyBytes(b, w.m, w.index, assign)
				b.StopTimer()
				items := make([]*fsmpb.Completion, 0, benchBatch)
				for _, t := range a.Results[0].Tasks {
					items = append(items, &fsmpb.Completion{Task: t.ID, Fence: t.Fence, Digest: 1, Result: []byte("ok")})
				}
				complete := encoded(b, w.now, completeCmd("w", items...))
				b.StartTimer()
				w.index++
				applyBytes(b, w.m, w.index, complete)
				n += len(items)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lifecycles/s")
		})
	}
}

// BenchmarkSubmit is the submission of batches of 500.
func BenchmarkSubmit(b *testing.B) {
	w := benchTable(b, 0)
	submit := encoded(b, w.now, submitCmd(benchSpecs(benchBatch)...))
	b.ReportAllocs()
	for b.Loop() {
		w.index++
		applyBytes(b, w.m, w.index, submit)
	}
	b.ReportMetric(float64(benchBatch)*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkDecode is the decoding of an entry with 500 specs, and with 500 completions.
func BenchmarkDecode(b *testing.B) {
	items := make([]*fsmpb.Completion, benchBatch)
	for i := range items {
		items[i] = &fsmpb.Completion{Task: uint64(i + 1000), Fence: uint64(i + 2000), Digest: 77, Result: []byte("ok")}
	}
	for name, c := range map[string]*fsmpb.Command{
		"submit":   submitCmd(benchSpecs(benchBatch)...),
		"complete": completeCmd("w", items...),
	} {
		b.Run(name, func(b *testing.B) {
			e := encoded(b, epochStart, c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeEntry(e); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(benchBatch)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// BenchmarkSingle is a lifecycle in entries of one command each.
func BenchmarkSingle(b *testing.B) {
	w := benchTable(b, 0)
	submit := encoded(b, w.now, submitCmd(benchSpecs(1)...))
	assign := encoded(b, w.now, assignCmd(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		w.index++
		applyBytes(b, w.m, w.index, submit)
		w.index++
		t := applyBytes(b, w.m, w.index, assign).Results[0].Tasks[0]
		complete := encoded(b, w.now, completeCmd("w", &fsmpb.Completion{Task: t.ID, Fence: t.Fence, Digest: 1}))
		w.index++
		applyBytes(b, w.m, w.index, complete)
	}
}
