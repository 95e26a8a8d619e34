// Package datadir owns a master's data directory: who may use it, whose it is,
// and whether its disk can be trusted.
//
//	DIR/lock           flock of the running master, with its pid
//	DIR/identity.json  name, incarnation, adopted cluster; replaced atomically
//	DIR/raft.db        term and vote (package logstore)
//	DIR/wal            log; with --log-store=bolt it is in raft.db
//	DIR/snapshots/     Raft's snapshots
//
// The files are created in the order identity.json (without a cluster), raft.db,
// identity.json (with the cluster), raft.db's owner stamp, the first log entry.
// So after a crash at any point the next start can tell "not finished forming"
// (go on) from "a file was lost" (refuse): a raft.db without an identity.json,
// or an adopted cluster without a raft.db, never comes from a crash.
//
// Everything that refuses a start does so with an [Error], whose Kind is the
// exit code's, and whose text says what to do.
package datadir
