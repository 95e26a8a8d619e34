// Package rpc is the gRPC edge of a master: every handler validates, makes one
// call into package cluster and converts the answer. It decides nothing about
// tasks.
//
//	server.go     the gRPC server: limits, keepalive, health, reflection, panics
//	status.go     the one place where errors and outcomes become gRPC statuses
//	validate.go   field violations
//	spec.go       TaskSpec: API to log
//	convert.go    table records to API
//	relation.go   what tasks wait for and what follows them
//	tasks.go, list.go, watch.go, follow.go, queues.go, batches.go, submitbatch.go, dead.go,
//	workers.go, stream.go, events.go, cluster.go   the services
//
// Mutations, linearizable reads and worker streams are served by the leader;
// another master answers NOT_LEADER with the leader's addresses, and the SDKs
// follow. The reasons of all errors stand in package rpc/reason.
package rpc
