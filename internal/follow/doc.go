// Package follow keeps a program in touch with the cluster's leader. The SDKs
// for submitters and for workers stand on it.
//
// A Follower is given a few master addresses (one follower's is enough) and
// learns the others. It holds one connection and one silent WatchLeader stream
// to each, so that the news of a new leader comes from whichever master tells it
// first:
//
//	              WatchLeader: n2 leads in term 8
//	follower n3 ─────────────────────────────────▶ Follower ── the reign of n1 in
//	                                                  │        term 7 is over: calls
//	leader n1 (dead, frozen or cut off)               │        that hang on n1 are
//	leader n2 ◀─────── the same calls again ──────────┘        abandoned and repeated
//
// What is believed only moves forward: a higher term wins at once, a lower one is
// ignored, and within a term there is one leader. Another cluster id starts over.
//
// Do repeats what is safe to repeat (see judge) until the caller's context ends,
// with full-jitter pauses between 20 ms and 1 s that end early when a leader
// appears, and at most three redirects in a row without a pause. Who found no
// leader waits 50 ms longer for the news of one: masters that hold an election
// have better things to do than to answer that it is not over.
//
// A master that has calls waiting and says nothing for a second is probed; one
// that does not answer the probe within another second is taken for hung, and
// the calls go elsewhere. Keepalive would need 13 s for that.
//
//	follower.go   configuration, the set of masters, start and end
//	belief.go     who leads: terms, reigns, positions
//	master.go     one master: connection, watch stream, liveness
//	do.go         calls: targets, repeats, pauses
//	judge.go      what an error says about the call and whether to repeat it
package follow
