// Package checker reads what was recorded of a run with real faults and says what
// does not hold. It shares no code with what it judges: the log is replayed by
// package model.
//
// A directory of a run has
//
//	tap-<master>-<pid>.jsonl  what each master applied (build tag chaos)
//	ops-<client>.jsonl        what each client called, when, and what it was told
//	runs.jsonl                when executions began and ended, by the program that ran
//	nemesis.jsonl             which fault was done when, and whether it took effect
//	final.jsonl               every task as read from the leader at the end
//
// and can be checked again at any time: go run ./internal/checker/check DIR.
//
// The stages, each with the invariants it holds (docs/invariants.md):
//
//	vacuity  something happened: operations of each kind, faults that took effect
//	log      C1 C2 by comparing masters; S3 S4 S6 S14 by reading; S7 S8 S9 S10 and
//	         all answers by replaying the log with the model
//	acks     S1 S2 S3 S5: what clients were told is in the log, and stays
//	order    S12 by porcupine, one task at a time
//	leases   S7 in real time: executions of one task do not overlap unless its worker
//	         was hit by a fault; no session expires within a TTL of a leader's start or of
//	         the last heartbeat of its worker
//	gaps     L3: the longest time without an acknowledged change around each fault
//	end      L1: every acknowledged task came to its end
package checker
