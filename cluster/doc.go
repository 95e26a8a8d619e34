// Package cluster orders commands through Raft: it stamps time, coalesces,
// dispatches assignments, detects failures, and hides hashicorp/raft.
//
//	Node            one master: start, stop, status            node.go, launch.go, member.go, status.go
//	 ├ engine       leader-side machinery behind a gate        engine.go and what it names
//	 │  └ scheduler fires what schedules are due for           scheduler.go
//	 ├ live         what attempts say before they end          live.go, follow.go
//	 ├ pushes       calls the workers that serve               push.go, pushlink.go
//	 ├ gatekeeper   Raft's notices → the gate opens, closes    leader.go
//	 ├ replica      entries and read confirmations through Raft  replica.go
//	 ├ applier      the table as Raft's state machine          applier.go, snapshots.go, snapstore.go
//	 │  └ recorder  what entries did, for the ring of events   recorder.go, trail.go
//	 ├ failover     acts on the seen death of the leader       failover.go
//	 ├ formation    one cluster from identical lists of peers  formation.go
//	 ├ peers        what masters say to each other             peers.go, services.go, members.go
//	 └ disk         low, slow and hung disks                   disk.go, isolate.go
//
// Package datadir owns the directory, logstore the log on disk, transport the
// Raft port, events the ring of what happened; package cron says when a rule fires.
//
// # Order of start and stop
//
//	directory (lock, identity) → log → port (identify only) → formation
//	→ port with identity → Raft → gatekeeper, failover, snapshots, pings
//
// Stop goes back: hand leadership over, wait for entries in flight, end what
// runs, Raft, engine, port, log, directory. A node that stops because of its disk
// leaves Raft hanging in its write, because an error would make Raft panic; its
// process must exit.
//
// # When a leader dies
//
//	process killed ─► connections end ─► each follower: dial refused
//	  ─► reads out what the leader had sent ─► tells the others the end of its log
//	  ─► majority agrees: the longest log stands for election, others wait
//	  ─► elected ─► first entry of the term applied ─► gate open
//
// Without an observed death (partition, freeze) Raft's timers do the same later.
package cluster
