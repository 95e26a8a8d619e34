package transport

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestHeartbeatsShareABeat runs two of Raft's heartbeat loops: each asks at random
// times within half a beat and a whole one.
func TestHeartbeatsShareABeat(t *testing.T) {
	const every, beats = 100 * time.Millisecond, 50
	synctest.Test(t, func(t *testing.T) {
		m := metronome{every: every, epoch: time.Now()}
		sent := make([][]time.Duration, 2)
		var loops sync.WaitGroup
		for i := range sent {
			loops.Go(func() {
				for n := range beats {
					time.Sleep(every/2 + time.Duration((n*7+i*3)%10)*every/20)
					m.wait()
					sent[i] = append(sent[i], time.Since(m.epoch))
				}
			})
		}
		loops.Wait()
		for i, at := range sent {
			for n := 1; n < len(at); n++ {
				if pause := at[n] - at[n-1]; pause > every+every/4 {
					t.Errorf("follower %d waited %s for a heartbeat, want at most a beat of %s", i, pause, every)
				}
			}
		}
		shared := 0
		for n := range beats {
			if sent[0][n] == sent[1][n] {
				shared++
			}
		}
		if shared < beats*9/10 {
			t.Errorf("%d of %d heartbeats went out together", shared, beats)
		}
	})
}

func TestMetronomeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		m := metronome{every: time.Hour, epoch: time.Now().Add(-30 * time.Minute), stop: stop}
		time.AfterFunc(time.Second, func() { close(stop) })
		began := time.Now()
		m.wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %s, want until the stop after 1s", took)
		}
		off := metronome{}
		off.wait()
	})
}

func TestHeartbeatIsKnown(t *testing.T) {
	for _, tt := range []struct {
		name string
		args raft.AppendEntriesRequest
		want bool
	}{
		{"heartbeat", raft.AppendEntriesRequest{Term: 3}, true},
		{"commit index", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, LeaderCommitIndex: 7}, false},
		{"first entry of a log", raft.AppendEntriesRequest{Term: 1, Entries: entries(1)}, false},
	} {
		if got := heartbeat(&tt.args); got != tt.want {
			t.Errorf("%s: heartbeat is %t, want %t", tt.name, got, tt.want)
		}
	}
}

// sends counts what a pipeline lets through.
type sends struct {
	raft.AppendPipeline
	n int
}

func (s *sends) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	s.n++
	return sent(s.n), nil
}

// sent is the future of the n-th request.
type sent int

func (sent) Error() error                          { return nil }
func (sent) Start() time.Time                      { return time.Time{} }
func (sent) Request() *raft.AppendEntriesRequest   { return nil }
func (sent) Response() *raft.AppendEntriesResponse { return nil }

// TestPipelineDoesNotRepeatItself: what says nothing new is left out for a while,
// and what says anything new is not.
func TestPipelineDoesNotRepeatItself(t *testing.T) {
	const repeat = 500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		s := new(sends)
		p := &pipeline{AppendPipeline: s, raft: &Raft{}, repeat: repeat}
		send := func(args raft.AppendEntriesRequest) {
			t.Helper()
			f, err := p.AppendEntries(&args, new(raft.AppendEntriesResponse))
			if f != sent(s.n) || err != nil {
				t.Fatalf("future %v, error %v; want that of the last request, %d", f, err, s.n)
			}
		}
		idle := raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 9}
		steps := []struct {
			what string
			args raft.AppendEntriesRequest
			wait time.Duration
			sent bool
		}{
			{"the first", idle, 0, true},
			{"the same", idle, 75 * time.Millisecond, false},
			{"a new commit index", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10}, 0, true},
			{"entries", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10, Entries: entries(1)}, 0, true},
			{"entries again", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10, Entries: entries(1)}, 0, true},
			{"as before the entries", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10}, 0, true},
			{"the same", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10}, repeat - time.Millisecond, false},
			{"the same, long after", raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 10, LeaderCommitIndex: 10}, time.Millisecond, true},
			{"another term", raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 10, LeaderCommitIndex: 10}, 0, true},
		}
		for i, step := range steps {
			time.Sleep(step.wait)
			before := s.n
			send(step.args)
			if got := s.n > before; got != step.sent {
				t.Errorf("step %d, %s: sent is %t, want %t", i, step.what, got, step.sent)
			}
		}
	})
}
