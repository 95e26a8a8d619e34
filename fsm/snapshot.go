package fsm

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// The snapshot's format, version 1. Integers are big-endian.
//
//	header   8 bytes magic, 2 bytes version
//	blocks   4 bytes length, 4 bytes CRC32C of the payload, payload:
//	         records, each a varint length and a fsmpb.Record
//	trailer  4 bytes zero, 4 bytes CRC32C of the counts, counts:
//	         for each kind of record 8 bytes
//
// The records stand in the order of recordKind and in it by key, which makes the
// bytes a function of the table (C3): equal tables, equal bytes.
const (
	snapshotMagic   = "taskraft"
	snapshotVersion = 1
	blockSize       = 256 << 10 // a block is flushed when it is this long
	maxBlock        = 1 << 30
)

// recordKind numbers the tables in the order in which a snapshot holds them.
type recordKind int

const (
	metaKind recordKind = iota
	memberKind
	queueKind
	workerKind
	sessionKind
	batchKind
	chunkKind
	releaseKind
	taskKind
	requestKind
	clientKind
	scheduleKind
	sweepKind
	pushKind
	recordKinds
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot is a frozen copy of the table, taken in O(1) under the write lock
// and written outside it.
type Snapshot struct {
	meta      *fsmpb.Meta
	members   *btree.Map[string, *fsmpb.SetMember]
	queues    *btree.Map[string, *queueRecord]
	workers   *btree.Map[string, *workerRecord]
	sessions  *btree.Map[uint64, *sessionRecord]
	batches   *btree.Map[uint64, *batchRecord]
	releasing *btree.Map[uint64, *release]
	tasks     *btree.Map[uint64, *Task]
	requests  *btree.Map[string, *request]
	clients   *btree.Map[string, *client]
	schedules *btree.Map[string, *Schedule]
	sweeps    *btree.Map[uint64, *sweepRecord]
	pushes    *btree.Map[string, *Push]
}

// Snapshot freezes the table as it is. It needs the write lock: the table notes
// that its records are shared from now on, and copies each before it changes it.
func (m *Machine) Snapshot() *Snapshot {
	m.epoch++
	return &Snapshot{
		meta: &fsmpb.Meta{
			Index: m.index, Term: m.term, Now: m.now, Level: uint32(m.level),
			LastTask: m.lastTask, LastFence: m.lastFence, LastSession: m.lastSession, TrimmedTotal: m.trimmed,
			LastBatch: m.lastBatch, DeadRetries: m.deadRetries,
			LastVersion: m.lastVersion, LastSweep: m.lastSweep,
			HashChain: uint64(m.chain), HashSum: uint64(m.sum),
		},
		members: m.members.Copy(), queues: m.queues.Copy(), workers: m.workers.Copy(), sessions: m.sessions.Copy(),
		batches: m.batches.Copy(), releasing: m.releasing.Copy(),
		tasks: m.tasks.Copy(), requests: m.requests.Copy(), clients: m.clients.Copy(),
		schedules: m.schedules.Copy(), sweeps: m.sweeps.Copy(), pushes: m.pushes.Copy(),
	}
}

// Position returns index and term of the last entry in the snapshot.
func (s *Snapshot) Position() (index, term uint64) { return s.meta.Index, s.meta.Term }

// WriteTo streams the canonical, uncompressed snapshot: a versioned header,
// checksummed record blocks in table order, a trailer with counts. Equal tables
// write equal bytes. The first error of w ends it.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	b := &blockWriter{w: w}
	b.write(binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion))
	b.record(metaKind, &fsmpb.Record{Kind: &fsmpb.Record_Meta{Meta: s.meta}})
	s.members.Scan(func(_ string, c *fsmpb.SetMember) bool {
		return b.record(memberKind, &fsmpb.Record{Kind: &fsmpb.Record_Member{Member: &fsmpb.MemberRecord{Member: c}}})
	})
	s.queues.Scan(func(_ string, q *queueRecord) bool {
		return b.record(queueKind, &fsmpb.Record{Kind: &fsmpb.Record_Queue{Queue: recordOfQueue(q)}})
	})
	s.workers.Scan(func(_ string, wk *workerRecord) bool {
		return b.record(workerKind, &fsmpb.Record{Kind: &fsmpb.Record_Worker{Worker: recordOfWorker(wk)}})
	})
	s.sessions.Scan(func(_ uint64, r *sessionRecord) bool {
		return b.record(sessionKind, &fsmpb.Record{Kind: &fsmpb.Record_Session{Session: recordOfSession(r)}})
	})
	s.batches.Scan(func(_ uint64, r *batchRecord) bool {
		return b.record(batchKind, &fsmpb.Record{Kind: &fsmpb.Record_Batch{Batch: recordOfBatch(r)}})
	})
	s.batches.Scan(func(_ uint64, r *batchRecord) bool {
		for _, c := range r.chunks {
			b.record(chunkKind, &fsmpb.Record{Kind: &fsmpb.Record_Chunk{Chunk: recordOfChunk(r.id, c)}})
		}
		return b.err == nil
	})
	s.releasing.Scan(func(parent uint64, r *release) bool {
		return b.record(releaseKind, &fsmpb.Record{Kind: &fsmpb.Record_Release{Release: recordOfRelease(parent, r)}})
	})
	task := new(fsmpb.TaskRecord)
	record := &fsmpb.Record{Kind: &fsmpb.Record_Task{Task: task}}
	s.tasks.Scan(func(_ uint64, t *Task) bool {
		fillTask(task, t)
		return b.record(taskKind, record)
	})
	s.requests.Scan(func(id string, r *request) bool {
		return b.record(requestKind, &fsmpb.Record{Kind: &fsmpb.Record_Request{Request: recordOfRequest(id, r)}})
	})
	s.clients.Scan(func(_ string, c *client) bool {
		return b.record(clientKind, &fsmpb.Record{Kind: &fsmpb.Record_Client{Client: recordOfClient(c)}})
	})
	s.schedules.Scan(func(_ string, c *Schedule) bool {
		return b.record(scheduleKind, &fsmpb.Record{Kind: &fsmpb.Record_Schedule{Schedule: recordOfSchedule(c)}})
	})
	s.sweeps.Scan(func(_ uint64, r *sweepRecord) bool {
		return b.record(sweepKind, &fsmpb.Record{Kind: &fsmpb.Record_Sweep{Sweep: recordOfSweep(r)}})
	})
	s.pushes.Scan(func(addr string, p *Push) bool {
		return b.record(pushKind, &fsmpb.Record{Kind: &fsmpb.Record_Push{Push: &fsmpb.PushRecord{
			Addr: addr, Worker: p.Worker, Fixed: p.Fixed, AddedAt: p.AddedAt,
		}}})
	})
	b.trailer()
	return b.n, b.err
}

// blockWriter collects records into checksummed blocks.
type blockWriter struct {
	w      io.Writer
	buf    []byte
	counts [recordKinds]uint64
	n      int64
	err    error
}

func (b *blockWriter) write(p []byte) {
	if b.err != nil {
		return
	}
	n, err := b.w.Write(p)
	b.n += int64(n)
	b.err = err
}

// record adds one record and reports whether to go on.
func (b *blockWriter) record(k recordKind, r *fsmpb.Record) bool {
	if b.err != nil {
		return false
	}
	b.counts[k]++
	o := proto.MarshalOptions{Deterministic: true}
	b.buf = protowire.AppendVarint(b.buf, uint64(o.Size(r)))
	o.UseCachedSize = true
	b.buf, b.err = o.MarshalAppend(b.buf, r)
	if b.err == nil && len(b.buf) >= blockSize {
		b.flush()
	}
	return b.err == nil
}

func (b *blockWriter) flush() {
	if b.err != nil || len(b.buf) == 0 {
		return
	}
	b.frame(uint32(len(b.buf)), b.buf)
	b.buf = b.buf[:0]
}

func (b *blockWriter) frame(length uint32, payload []byte) {
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 8), length)
	b.write(binary.BigEndian.AppendUint32(head, crc32.Checksum(payload, castagnoli)))
	b.write(payload)
}

func (b *blockWriter) trailer() {
	b.flush()
	counts := make([]byte, 0, 8*recordKinds)
	for _, n := range b.counts {
		counts = binary.BigEndian.AppendUint64(counts, n)
	}
	b.frame(0, counts)
}
