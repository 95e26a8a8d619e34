package peer

// Spec describes a system that can be measured.
type Spec struct {
	Name     string   // for the command line and the figures: nats-always
	Title    string   // for people, with how many servers hold the data
	Settings []string // in words, for the report
	Single   []string // ways to submit one task per call, the main one first
	Batched  []string // ways to submit many; none: the system has no such call
	New      func(Setup) System
}

// Taskraft is the name of the system that the others are compared with.
const Taskraft = "taskraft"

const (
	natsSettings   = "three servers, stream Replicas 3, FileStorage, WorkQueuePolicy; durable pull consumer, explicit ack, MaxAckPending 65536; connections to the stream's leader"
	asynqSettings  = "one redis-server, appendonly yes, no RDB snapshots; Concurrency = slots in all, TaskCheckInterval 1 ms, a pooled connection for each producer and slot"
	beanstalkWords = "one server with binlog; a connection for each producer and each slot"
)

var (
	asynqSingle = []string{wayServer, wayServers}
	natsSingle  = []string{wayDoubleAck, wayPlainAck}
	natsBatched = []string{wayAsyncPlainAck, wayAsyncDoubleAck, wayAtomicPlainAck}
)

// All returns every system, Taskraft first.
func All() []Spec {
	return []Spec{
		{
			Name: Taskraft, Title: "Taskraft, 3 masters", New: newTaskraft,
			Settings: []string{"three masters as shipped: fsync on a majority before every acknowledgement"},
			Single:   []string{"Submit"}, Batched: []string{"SubmitMany"},
		},
		{
			Name: "nats-always", Title: "NATS JetStream R3, fsync always", New: newNATS(true),
			Settings: []string{natsSettings, "sync_interval: always"}, Single: natsSingle, Batched: natsBatched,
		},
		{
			Name: "nats-default", Title: "NATS JetStream R3, default", New: newNATS(false),
			Settings: []string{natsSettings, "sync_interval: 2m (default)"}, Single: natsSingle, Batched: natsBatched,
		},
		{
			Name: "asynq-always", Title: "asynq, Redis fsync always, 1 node", New: newAsynq("always"),
			Settings: []string{asynqSettings, "appendfsync always"}, Single: asynqSingle,
		},
		{
			Name: "asynq-everysec", Title: "asynq, Redis fsync every second, 1 node", New: newAsynq("everysec"),
			Settings: []string{asynqSettings, "appendfsync everysec"}, Single: asynqSingle,
		},
		{
			Name: "river", Title: "River, PostgreSQL, 1 node", New: newRiver,
			Settings: append([]string{"one PostgreSQL server, fsync and synchronous_commit on; FetchCooldown 1 ms, FetchPollInterval 10 ms, up to 64 connections for producers and 64 for workers"}, postgresSettings...),
			Single:   []string{"Insert"}, Batched: []string{"InsertManyFast"},
		},
		{
			Name: "beanstalkd-f0", Title: "beanstalkd, fsync each, 1 node", New: newBeanstalkd("0"),
			Settings: []string{beanstalkWords, "-f0: fsync each write"}, Single: []string{"put, reserve, delete"},
		},
		{
			Name: "beanstalkd-f50", Title: "beanstalkd, fsync ≤ 50 ms, 1 node", New: newBeanstalkd("50"),
			Settings: []string{beanstalkWords, "-f50: fsync within 50 ms (default)"}, Single: []string{"put, reserve, delete"},
		},
	}
}
