package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// metronome lets Raft's heartbeats out together. The library sends each follower
// its own at random times, ten to twenty within a heartbeat time-out, and on an
// idle leader each wakes the process twice; what that costs is mostly the waking.
// On the beat, a fifth of the time-out, which is the longest pause of the library,
// they share it.
type metronome struct {
	every time.Duration // 0: off
	epoch time.Time
	stop  <-chan struct{}
}

// wait returns on the beat, or at once just after it: who is late for one by the
// time that a call takes must not wait for the next.
func (m *metronome) wait() {
	if m.every <= 0 {
		return
	}
	into := time.Since(m.epoch) % m.every
	if into < m.every/4 {
		return
	}
	t := time.NewTimer(m.every - into)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.stop:
	}
}

// repeatBeats is after how many beats a pipeline says again what it said last.
const repeatBeats = 5

// heartbeat reports whether a request is one: those of Raft's replication say
// where in the log they belong.
func heartbeat(args *raft.AppendEntriesRequest) bool {
	return len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0
}
