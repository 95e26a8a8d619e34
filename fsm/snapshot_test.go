package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// fullTable holds at least one record of every kind and a task in every state.
func fullTable(tb reporter) *table {
	w := newTable(tb)
	w.do(memberCmd(&fsmpb.SetMember{Name: "n1", ServerId: "n1/1", Raft: "a:1", Grpc: "a:2", Level: 1}))
	w.do(memberCmd(&fsmpb.SetMember{Name: "n2", Level: 1}))
	w.do(queueCmd(&fsmpb.SetQueue{Queue: "mail", Paused: new(true), Settings: &fsmpb.QueueSettings{Priority: proto.Int32(2)}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a", Slots: 8, Labels: map[string]string{"x": "1", "y": "2", "z": "3"}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: 8, Takeover: true, Labels: map[string]string{"x": "1", "y": "2", "z": "3"}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w2", Boot: "a", Slots: 2}))
	spec := &fsmpb.TaskSpec{Kind: "k", Payload: []byte("payload"), ContentType: "text/plain", Timeout: proto.Int64(Second)}
	for range 9 {
		w.do(submitCmd(spec))
	}
	w.do(&fsmpb.Command{
		Call: &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: 1, AckedBelow: 1},
		Kind: submitCmd(&fsmpb.TaskSpec{RequestId: "r", Delay: Hour, Queue: "mail"}, &fsmpb.TaskSpec{RequestId: "r2"}).Kind,
	})
	w.do(assignCmd(3, 1)) // task 1 is lost with w2
	w.do(expireCmd(3))
	w.do(assignCmd(2, 8)) // and given to w1, with 2 to 8
	w.do(completeCmd("w2", &fsmpb.Completion{Task: 1, Fence: 1, Result: []byte("late")}))
	w.do(completeCmd("w1/b", &fsmpb.Completion{Task: 2, Fence: 3, Digest: 5, Result: []byte("two"), ContentType: "text/plain"}))
	w.do(failCmd("w1/b", &fsmpb.Failure{Task: 3, Fence: 4, Error: "no", Permanent: true}))
	w.do(cancelCmd("x", 4, 9))
	w.now += Second
	w.do(tickCmd())
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w2", Boot: "a", Slots: 1}))
	w.do(submitCmd(spec))
	w.do(assignCmd(4, 1))
	w.do(expireCmd(4)) // task 12 may be redeemed
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w3", Boot: "a", Slots: 1, Pull: true}))
	w.do(updateCmd(&fsmpb.UpdateSession{Session: 5, Beats: true}))
	w.do(drainCmd("w2", false))
	w.do(pushCmd(&fsmpb.SetPush{Addr: "127.0.0.1:7500", Fixed: true}))
	w.do(submitCmd(&fsmpb.TaskSpec{Priority: proto.Int32(9)}))
	w.do(assignCmd(5, 1))
	w.do(queueCmd(&fsmpb.SetQueue{Queue: "slow", Settings: &fsmpb.QueueSettings{
		MaxRunningPerKey: proto.Uint32(1), Rate: &fsmpb.RateLimit{Tokens: 2, Period: Minute, Burst: 2},
	}}))
	w.do(openCmd(&fsmpb.OpenSession{
		Worker: "w4", Boot: "a", Slots: 8, Labels: map[string]string{"gpu": "1", "zone": "b"},
		Queues: []*fsmpb.QueueWeight{{Queue: "slow", Weight: 3}, {Queue: "mail", Weight: 1}},
	}))
	w.do(submitCmd(
		&fsmpb.TaskSpec{Queue: "slow", Require: []*fsmpb.Label{{Key: "zone", Value: "b"}, {Key: "gpu", Value: "1"}}, ConcurrencyKey: "tenant"},
		&fsmpb.TaskSpec{Queue: "slow", ConcurrencyKey: "tenant"},
		&fsmpb.TaskSpec{Queue: "slow", Require: []*fsmpb.Label{{Key: "gpu", Value: "2"}}},
		&fsmpb.TaskSpec{Queue: "slow", Traceparent: []byte{0xab}, Tracestate: "vendor=1"},
	))
	w.do(assignCmd(6, 8)) // the first and the last; the key and the labels hold the others back
	w.batches()
	w.do(scheduleCmd(&fsmpb.SetSchedule{
		Schedule: "nightly", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", Task: spec, Misfire: uint32(MisfireAll), MaxMisfires: 7, Overlap: uint32(OverlapSkip),
	}))
	w.do(fireCmd(&fsmpb.FireItem{Schedule: "nightly", SpecVersion: 1, NextFire: w.now + 1}))
	w.now++
	w.do(fireCmd(&fsmpb.FireItem{Schedule: "nightly", SpecVersion: 1, FireTime: w.now, NextFire: w.now + Hour}))
	w.do(scheduleCmd(&fsmpb.SetSchedule{Schedule: "off", Cron: "@daily", Paused: true}))
	w.do(submitCmd(&fsmpb.TaskSpec{Payload: []byte("all"), Broadcast: &fsmpb.BroadcastSpec{
		Selector: []*fsmpb.Label{{Key: "x", Value: "1"}}, Require: 1, Patience: Hour, Late: true,
	}}))
	w.do(assignCmd(2, 0))
	return w
}

// batches adds a batch that has ended, one whose first task was trimmed, one that
// is open, one with tasks that wait, and an end whose children are being told.
func (w *table) batches() {
	after := []*fsmpb.TaskSpec{{Kind: "after"}}
	w.do(submitBatchCmd(&fsmpb.BatchSpec{Name: "one", RequestId: "b1", ContentDigest: 3}, &fsmpb.TaskSpec{Queue: "mail"}))
	w.do(cancelBatchCmd(1, "unwanted"))
	first := w.m.lastTask
	w.do(submitBatchCmd(&fsmpb.BatchSpec{Name: "two", FollowUp: after, OnSuccess: after},
		&fsmpb.TaskSpec{Queue: "mail", Retain: proto.Int64(0)}, &fsmpb.TaskSpec{AfterItems: []uint32{0}, AfterRun: true, OnSuccess: after, OnDead: after}))
	w.do(cancelCmd("", first+1))
	w.do(tickCmd())
	w.do(openBatchCmd(&fsmpb.BatchSpec{Name: "three", RequestId: "b3"}))
	w.do(stageCmd(&fsmpb.StageBatch{Batch: 3, Digest: 4, Tasks: []*fsmpb.TaskSpec{{Kind: "staged"}, {AfterItems: []uint32{0}}}}))
	w.do(stageCmd(&fsmpb.StageBatch{Batch: 3, Offset: 2, Digest: 5, Tasks: after}))
	parent := w.m.lastTask + 1
	w.do(submitCmd(&fsmpb.TaskSpec{Queue: "mail"}, &fsmpb.TaskSpec{After: []uint64{13}, AfterItems: []uint32{0}}))
	w.do(cancelCmd("", parent)) // and its child with it
	w.do(retryCmd(parent))
	w.do(submitCmd(&fsmpb.TaskSpec{After: []uint64{13, parent}}))
	w.do(submitCmd(&fsmpb.TaskSpec{Queue: "mail"}))
	parent = w.m.lastTask
	w.do(submitCmd(&fsmpb.TaskSpec{After: []uint64{parent}}, &fsmpb.TaskSpec{After: []uint64{parent}}, &fsmpb.TaskSpec{After: []uint64{parent}}))
	t := w.task(parent)
	ended := *t
	ended.State, ended.FinishedAt, ended.Reason = Cancelled, w.now, ReasonCancelled
	w.m.put(w.m.lines[t.Queue], t, &ended)
	w.m.setTrimDue(w.m.lines[t.Queue])
	w.m.endParent(&ended)
	w.m.tell(parent, 1)
	w.m.deadRetries = append(w.m.deadRetries, &fsmpb.DeadRetry{What: &fsmpb.RetryDead{Queue: "gone"}, Until: 1, Cursor: 2})
}

// TestSnapshotGolden keeps the format of a snapshot and that its bytes are a
// function of the table: the labels of a session are a Go map.
func TestSnapshotGolden(t *testing.T) {
	w := fullTable(t)
	check(t, w.m)
	got := hex.Dump(snapshotBytes(t, w.m))
	file := filepath.Join("testdata", "golden", "snapshot.hex")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(golden), got); diff != "" {
		t.Errorf("the snapshot changed (-golden +now):\n%s", diff)
	}
	for range 20 {
		if hex.Dump(snapshotBytes(t, fullTable(t).m)) != got {
			t.Fatal("the same log wrote another snapshot")
		}
	}
}

// TestSnapshotIsFrozen writes a snapshot while later entries apply; run it with -race.
func TestSnapshotIsFrozen(t *testing.T) {
	w := fullTable(t)
	for i := range 20 {
		w.do(openCmd(&fsmpb.OpenSession{Worker: "w6", Boot: "a"}))
		w.do(submitCmd(&fsmpb.TaskSpec{Priority: proto.Int32(99)}))
		w.do(assignCmd(w.m.lastSession, 1))
		w.do(expireCmd(w.m.lastSession))
		want := snapshotBytes(t, w.m)
		redeem := &fsmpb.Completion{Task: w.m.lastTask, Fence: w.m.lastFence}
		s := w.m.Snapshot()
		index, term := s.Position()
		done := make(chan []byte)
		go func() {
			var b bytes.Buffer
			if _, err := s.WriteTo(&b); err != nil {
				t.Error(err)
			}
			done <- b.Bytes()
		}()
		for range 10 {
			w.now += Second
			w.do(completeCmd("w6", redeem))
			w.do(openCmd(&fsmpb.OpenSession{Worker: "w7", Boot: fmt.Sprint(i), Takeover: true}))
			w.do(submitCmd(&fsmpb.TaskSpec{Payload: []byte("x")}, &fsmpb.TaskSpec{RequestId: "r3"}))
			w.do(assignCmd(5, 1))
			w.do(&fsmpb.Command{
				Call: &fsmpb.Call{Client: []byte("0123456789abcdef"), Seq: w.index, AckedBelow: w.index - 1},
				Kind: cancelCmd("", w.m.lastTask).Kind,
			})
			w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: uint32(w.index%5) + 1}))
			w.do(queueCmd(&fsmpb.SetQueue{Queue: "mail", Paused: new(w.index%2 == 0)}))
			w.do(tickCmd())
		}
		got := <-done
		if !bytes.Equal(got, want) {
			t.Fatal("a snapshot changed after it was taken")
		}
		if i, tm := s.Position(); i != index || tm != term {
			t.Fatalf("its position moved from %d/%d to %d/%d", index, term, i, tm)
		}
	}
	check(t, w.m)
}

// TestSnapshotWriteFails passes the writer's error on.
func TestSnapshotWriteFails(t *testing.T) {
	s := fullTable(t).m.Snapshot()
	for n := range int64(600) {
		if _, err := s.WriteTo(&shortWriter{left: n}); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

var errFull = errors.New("full")

// shortWriter takes so many bytes.
type shortWriter struct{ left int64 }

func (w *shortWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return int(w.left), errFull
	}
	w.left -= int64(len(p))
	return len(p), nil
}
