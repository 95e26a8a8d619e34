// Package transport is everything on the Raft port of a master.
//
// One TCP listener serves five kinds of connection. Each begins with a hello
// that names the cluster, the caller, the callee and the caller's process (its
// boot id); the answer names the answering side in the same way, and both sides
// close the connection unless all of it matches. Raft itself dials addresses and
// never checks who answered, so a master that was wiped and restarted at its old
// address could vote for a leader that lacks committed entries; here it cannot
// even connect (invariant: no Raft traffic without an adopted, matching identity).
//
//	kind      carries                          before Adopt   after Adopt
//	raft      hashicorp/raft's RPCs            refused        once Raft was called
//	peer      Call / Handle                    refused        yes
//	watch     nothing; its end is the message  refused        yes
//	identify  Call / Handle(..., Anyone, ...)  yes            yes
//	feed      Feed.Send to Config.OnFeed       refused        yes
//
// # Use
//
//	p, err := transport.New(transport.Config{Bind: "127.0.0.1:7401"})
//	transport.Handle(p, transport.Anyone, "identify", n.identify)   // before Listen
//	transport.Handle(p, transport.Members, "confirm-term", n.confirmTerm)
//	err = p.Listen()                     // binds; answers identify from here on
//	err = p.Adopt(clusterID, "n1/7f3a")  // the configuration is known: all kinds
//	tr, err := p.Raft(hclogger)          // a raft.Transport for raft.NewRaft
//	err = transport.CheckRaft(tr)        // pre-vote and close are still there
//	tr.Serve(replica)                    // Raft runs: it gets the others' RPCs
//
//	err = p.Call(ctx, transport.Peer{Addr: "127.0.0.1:7411"}, "identify", args, &reply)
//	err = p.Call(ctx, transport.Peer{ID: "n2/55c0", Addr: "127.0.0.1:7411"}, "confirm-term", args, &reply)
//
//	w, err := p.Watch(ctx, leader)       // connected: from here on its death shows
//	death, err := w.Wait(ctx)            // nil error: the process is dead
//	tr.InjectTimeoutNow(ctx)             // stand for election now
//
//	p.Isolate(); err = p.Resume()        // a hung disk: gone for the others, and back
//	err = p.Close()                      // ends every goroutine and waits for it
//
// A refused dial returns a *RefusedError and is also given to Config.OnRefused,
// since Raft only logs what its dials return. Reason Duplicate there means that
// another process with this master's identity is alive: the node must exit.
//
// # Two processes with one identity
//
// A server that hears a hello from a server id which still has connections from
// another boot id asks the older process, at the address its hello gave, who it
// is. If it answers with its own boot id, both are alive and the newcomer is
// refused as a duplicate. Otherwise the older process is gone (a restart whose
// predecessor's connections have not ended yet, a machine that lost power) and
// its connections are closed in favour of the newcomer.
//
// # Raft's traffic
//
// Heartbeats take the ordinary path through Raft's main loop: with the library's
// fast path a deposed leader can store a client's entry under its successor's
// term (hashicorp/raft#695; divergence_test.go shows both sides). LeaderLeaseTimeout
// must then equal HeartbeatTimeout. Addresses inside Raft, LeaderWithID included,
// are id@host:port: votes are keyed by them, so a vote is for one incarnation.
// Heartbeats to all followers go out on one beat, and a commit index that the
// followers have been told is not repeated beside them (beat.go, append.go). A snapshot
// that brings nothing is answered here and never reaches Raft, which would throw its log
// away for it (install.go).
//
// # Observed death
//
// A killed process closes its sockets within microseconds, which a frozen or
// unreachable one does not. Wait returns a Death only when the watch connection
// ended by EOF or reset and the next dial was refused, or reached the same server
// in another process. Everything else is an error, and not a death. An isolated
// master looks dead to its watchers, as it should: the others are to elect.
package transport
