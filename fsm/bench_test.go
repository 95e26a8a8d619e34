package fsm

import (
	"bytes"
	"io"
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

func encoded(b testing.TB, now int64, c *fsmpb.Command) []byte {
	e, err := EncodeEntry(nil, &Entry{Header: Header{Level: 1, Term: 1, Now: now}, Commands: []*fsmpb.Command{c}})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// benchTable is a table with one worker of 4,096 slots and a backlog.
func benchTable(b testing.TB, backlog int) *table {
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

// BenchmarkApply is each command of a batched lifecycle by itself, decoded before,
// in front of nothing and of a million queued tasks: what it costs may not grow
// with the backlog.
func BenchmarkApply(b *testing.B) {
	for _, backlog := range []int{0, 1_000_000} {
		w := benchTable(b, backlog)
		for _, verb := range []string{"submit", "assign", "complete"} {
			b.Run(verb+"/backlog="+strconv.Itoa(backlog), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					for _, step := range []string{"submit", "assign", "complete"} {
						e := w.nextStep(step)
						if step == verb {
							b.StartTimer()
						}
						w.step(e)
						b.StopTimer()
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/task")
			})
		}
	}
}

// nextStep returns the entry of one step of a batch's life.
func (w *table) nextStep(verb string) *Entry {
	var c *fsmpb.Command
	switch verb {
	case "submit":
		c = submitCmd(benchSpecs(benchBatch)...)
	case "assign":
		c = assignCmd(1, benchBatch)
	case "complete":
		var items []*fsmpb.Completion
		for t := range w.m.Held(1) {
			items = append(items, &fsmpb.Completion{Task: t.ID, Fence: t.Fence, Digest: 1})
		}
		c = completeCmd("w", items...)
	}
	return &Entry{Header: Header{Level: 1, Term: 1, Now: w.now}, Commands: []*fsmpb.Command{c}}
}

func (w *table) step(e *Entry) *Applied {
	w.index++
	return w.m.Apply(w.index, 1, e)
}

// benchCommands are those that carry a load.
func benchCommands() map[string]*fsmpb.Command {
	items := make([]*fsmpb.Completion, benchBatch)
	for i := range items {
		items[i] = &fsmpb.Completion{Task: uint64(i + 1000), Fence: uint64(i + 2000), Digest: 77, Result: []byte("ok")}
	}
	return map[string]*fsmpb.Command{
		"submit":   submitCmd(benchSpecs(benchBatch)...),
		"complete": completeCmd("w", items...),
	}
}

// BenchmarkDecode is the decoding of an entry with 500 specs, and with 500 completions.
func BenchmarkDecode(b *testing.B) {
	for name, c := range benchCommands() {
		b.Run(name, func(b *testing.B) {
			e := encoded(b, epochStart, c)
			var d Decoder
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Entry(e); err != nil {
					b.Fatal(err)
				}
				d.Reset()
			}
			b.ReportMetric(float64(benchBatch)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// BenchmarkEncode is the encoding of the same entries into a buffer that is reused.
func BenchmarkEncode(b *testing.B) {
	for name, c := range benchCommands() {
		b.Run(name, func(b *testing.B) {
			e := &Entry{Header: Header{Level: 1, Term: 1, Now: epochStart}, Commands: []*fsmpb.Command{c}}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				out, err := EncodeEntry(buf[:0], e)
				if err != nil {
					b.Fatal(err)
				}
				buf = out
			}
			b.ReportMetric(float64(benchBatch)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

// BenchmarkSnapshot writes a table of 100,000 queued tasks, without compression,
// and reads it back.
func BenchmarkSnapshot(b *testing.B) {
	const tasks = 100_000
	w := benchTable(b, tasks)
	var whole bytes.Buffer
	if _, err := w.m.Snapshot().WriteTo(&whole); err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.m.Snapshot().WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(tasks*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Restore(bytes.NewReader(whole.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(tasks*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	})
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
