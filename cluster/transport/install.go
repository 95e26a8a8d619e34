package transport

import (
	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/mutant"
)

// Replica is what the transport asks of the Raft that it serves, before it hands on
// what another master wants to put into its log.
type Replica interface {
	// Has reports whether everything up to index has been applied.
	Has(index uint64) bool
	// Follows reports whether the log begins right behind an entry, the one that the
	// newest snapshot ends with.
	Follows(index, term uint64) bool
	// Installed tells of a snapshot up to index that Raft has just installed, and Spared
	// of one that brought nothing and never reached it: inLog, if the log has the entry
	// that it ends with.
	Installed(index uint64)
	Spared(index uint64, inLog bool)
	// Spool returns an empty file for a snapshot on its way; it is gone once closed.
	Spool() (Spool, error)
}

// Serve begins to hand RPCs to Raft; until then they wait. It is called once, when
// raft.NewRaft has returned.
func (r *Raft) Serve(replica Replica) {
	p := r.stream.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != stateClosed { // which waits for what is running
		p.wg.Go(func() { r.pump(replica) })
	}
}

// install hands a snapshot to Raft if it brings anything. The library (installSnapshot
// in raft.go of v1.7.3) takes one whatever the log holds already: the table goes back
// to the snapshot, and the whole log is deleted, with entries behind the snapshot that
// this master has acknowledged and that may be committed by it. Such a snapshot comes
// when it took so long that the leader gave it up and sent it again, or when the log is
// only thought to be behind. Raft (Ongaro and Ousterhout 2014, figure 13,
// InstallSnapshot 6) keeps the log where it has the snapshot's last entry; so has who
// is asked here, by an AppendEntries that brings nothing and names that entry as the one
// before. It reports false when the transport is closed.
//
// Nothing comes between the question and the snapshot, since all RPCs pass here.
func (r *Raft) install(rpc raft.RPC, replica Replica) bool {
	args := rpc.Command.(*raft.InstallSnapshotRequest)
	answer, ok := r.ask(raft.RPC{Command: &raft.AppendEntriesRequest{
		RPCHeader: args.RPCHeader, Term: args.Term,
		PrevLogEntry: args.LastLogIndex, PrevLogTerm: args.LastLogTerm,
	}})
	if !ok {
		return false
	}
	if said, isAnswer := answer.Response.(*raft.AppendEntriesResponse); isAnswer && said.Term == args.Term &&
		(said.Success || replica.Has(args.LastLogIndex)) && !mutant.On("W6") {
		replica.Spared(args.LastLogIndex, said.Success)
		rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: said.RPCHeader, Term: said.Term, Success: true}, nil)
		return true
	}
	answer, ok = r.ask(raft.RPC{Command: args, Reader: rpc.Reader})
	if !ok {
		return false
	}
	if done, isAnswer := answer.Response.(*raft.InstallSnapshotResponse); isAnswer && done.Success {
		replica.Installed(args.LastLogIndex)
	}
	rpc.Respond(answer.Response, answer.Error)
	return true
}

// ask has Raft answer an RPC; false when the transport is closed.
func (r *Raft) ask(rpc raft.RPC) (raft.RPCResponse, bool) {
	answer := make(chan raft.RPCResponse, 1)
	rpc.RespChan = answer
	if !r.hand(rpc) {
		return raft.RPCResponse{}, false
	}
	select {
	case a := <-answer:
		return a, true
	case <-r.done:
		return raft.RPCResponse{}, false
	}
}

// hand gives Raft an RPC; false when the transport is closed.
func (r *Raft) hand(rpc raft.RPC) bool {
	select {
	case r.rpcs <- rpc:
		return true
	case <-r.done:
		return false
	}
}

// anchor lets a request continue the snapshot that the log begins behind. The library
// looks for the entry before in the log alone, unless the log ends with it: entries of
// a deposed leader behind a snapshot could not be replaced by its successor, who would
// go back entry by entry and then send a snapshot that brings nothing, for ever.
// Without an entry before the library does not look.
func anchor(args *raft.AppendEntriesRequest, replica Replica) {
	if args.PrevLogEntry > 0 && replica.Follows(args.PrevLogEntry, args.PrevLogTerm) {
		args.PrevLogEntry, args.PrevLogTerm = 0, 0
	}
}
