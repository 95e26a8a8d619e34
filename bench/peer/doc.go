// Package peer runs task systems as separate processes on this machine, each
// with its best documented settings, behind one small interface: Taskraft and
// those that it is compared with.
//
// A System lives for one measurement: it starts with an empty directory on a
// disk, on loopback ports that were free, and ends its processes by their ids.
// The producers and workers are the system's own client library, in the process
// of the benchmark.
//
//	peer.go        the interface
//	registry.go    which systems there are, with their settings in words
//	usage.go       CPU time, bytes written and memory, from /proc
//	server.go      how the peers' programs are found, started and stopped
//	taskraft.go    three masters of the built binary
//	nats.go        NATS JetStream, three servers, one replicated work queue
//	natspublish.go, natsconsume.go, natsserver.go   its parts
//	asynq.go       asynq on redis-server
//	river.go       River on PostgreSQL
//	postgres.go    a PostgreSQL server of an unprivileged user
//	beanstalkd.go  beanstalkd
package peer
