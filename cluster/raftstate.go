package cluster

import (
	"cmp"
	"strconv"

	"github.com/hashicorp/raft"
)

// logEnd is a position in the log. Logs are ordered by it: who has the greater
// one can win an election.
type logEnd struct{ Term, Index uint64 }

func (e logEnd) compare(o logEnd) int {
	return cmp.Or(cmp.Compare(e.Term, o.Term), cmp.Compare(e.Index, o.Index))
}

// endOfLog returns the end of this node's log, which a snapshot may have replaced.
func endOfLog(r *raft.Raft) logEnd {
	stats := r.Stats()
	end := logEnd{Term: number(stats["last_log_term"]), Index: number(stats["last_log_index"])}
	if s := snapshotEnd(stats); s.Index > end.Index {
		return s
	}
	return end
}

// newestSnapshot returns where the newest snapshot ends.
func newestSnapshot(r *raft.Raft) logEnd { return snapshotEnd(r.Stats()) }

func snapshotEnd(stats map[string]string) logEnd {
	return logEnd{Term: number(stats["last_snapshot_term"]), Index: number(stats["last_snapshot_index"])}
}

// number reads a figure that Raft itself formatted.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
