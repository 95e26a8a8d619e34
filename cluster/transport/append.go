package transport

import "github.com/hashicorp/raft"

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

// pipeline trims the requests of Raft's pipeline.
type pipeline struct{ raft.AppendPipeline }

// AppendEntries implements raft.AppendPipeline.
func (p pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	trim(args)
	return p.AppendPipeline.AppendEntries(args, resp)
}
