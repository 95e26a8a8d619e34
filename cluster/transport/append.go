package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// maxAppendBytes bounds the entries of one AppendEntries, of which two may be on
// their way: Raft itself only counts entries, and those of large payloads would
// take a slow link longer than the time-out of the call, for ever.
const maxAppendBytes = 2 << 20

// trim cuts a request to the longest prefix of its entries within maxAppendBytes,
// one at least. Raft reads the same request again to see what it has sent
// (updateLastAppended and pipelineSend in its replication.go).
func trim(args *raft.AppendEntriesRequest) {
	size := 0
	for i, l := range args.Entries {
		size += len(l.Data) + len(l.Extensions)
		if size > maxAppendBytes && i > 0 {
			args.Entries = args.Entries[:i]
			return
		}
	}
}

// bound lets a request commit no more than it vouches for: the entries that it brings
// and the one before them. The library takes min(commit index, last entry of its own
// log), where Raft has the index of the last new entry (Ongaro and Ousterhout 2014,
// figure 2, AppendEntries 5): a deposed leader then applies the entry that it alone
// has. A leader sends such a request when it waits to repeat a failed one: it has read
// its last index before, and reads its commit index afterwards (replicateTo in
// replication.go of v1.7.3); entries that trim or MaxAppendEntries cut are another way.
func bound(args *raft.AppendEntriesRequest) {
	args.LeaderCommitIndex = min(args.LeaderCommitIndex, args.PrevLogEntry+uint64(len(args.Entries)))
}

// pipeline is Raft's pipeline to one follower; one goroutine uses it. It trims
// requests and leaves out those that say again what was said last: Raft repeats
// its commit index every 50 to 100 ms, beside the heartbeats. Contact and lease
// rest on those, so nothing is taken for an answer that was none.
type pipeline struct {
	raft.AppendPipeline
	raft   *Raft
	repeat time.Duration // an unchanged request goes out again after this; 0: always

	said   said
	at     time.Time
	answer raft.AppendFuture // of the request that said it
}

// said is what an AppendEntries without entries says.
type said struct{ term, prev, commit uint64 }

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	trim(args)
	now := said{args.Term, args.PrevLogEntry, args.LeaderCommitIndex}
	if len(args.Entries) > 0 {
		p.answer = nil
		return p.AppendPipeline.AppendEntries(args, resp)
	}
	if p.answer != nil && now == p.said && time.Since(p.at) < p.repeat {
		return p.answer, nil
	}
	f, err := p.AppendPipeline.AppendEntries(args, resp)
	p.said, p.at, p.answer = now, time.Now(), f
	return f, err
}

// Close ends the pipeline, and whoever waits in it.
func (p *pipeline) Close() error {
	p.raft.mu.Lock()
	delete(p.raft.pipes, p)
	p.raft.mu.Unlock()
	return p.AppendPipeline.Close()
}
