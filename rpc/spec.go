package rpc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxKind        = 128
	maxContentType = 128
	maxTimeout     = 30 * 24 * time.Hour
	maxBackoff     = 30 * 24 * time.Hour
	maxPriority    = 100
	maxAttempts    = 100
	maxBatchBytes  = 1 << 20

	maxFollowUpBytes = 128 << 10
)

// spec checks one TaskSpec and turns it into the log's. prefix names the place
// in the request ("" or "tasks[17].").
func (s *Server) spec(v *violations, prefix string, in *taskraftv1.TaskSpec) *fsmpb.TaskSpec {
	if in == nil {
		v.add(prefix+"task", "missing")
		return nil
	}
	out := &fsmpb.TaskSpec{
		Queue: in.GetQueue(), Kind: in.GetKind(), Payload: in.GetPayload(),
		ContentType: in.GetContentType(), RequestId: in.GetRequestId(), ConcurrencyKey: in.GetConcurrencyKey(),
	}
	if in.GetCmd() != "" {
		v.commandLine(prefix+"cmd", in, out)
	}
	if out.Queue == "" {
		out.Queue = fsm.DefaultQueue
	}
	v.queue(prefix+"queue", out.Queue)
	if len(out.Payload) > s.cfg.MaxPayload {
		v.add(prefix+"payload", "got %d bytes, want at most %d", len(out.Payload), s.cfg.MaxPayload)
	}
	v.text(prefix+"kind", out.Kind, maxKind)
	v.text(prefix+"content_type", out.ContentType, maxContentType)
	v.text(prefix+"request_id", out.RequestId, maxID)
	v.text(prefix+"concurrency_key", out.ConcurrencyKey, maxID)
	v.unique(prefix, in, out)
	out.Require = v.require(prefix+"require", in.GetRequire())
	out.Labels = v.require(prefix+"labels", in.GetLabels())
	out.Priority = v.priority(prefix+"priority", in.Priority)
	out.MaxAttempts = v.attempts(prefix+"max_attempts", in.MaxAttempts)
	switch start := in.GetStart().(type) {
	case *taskraftv1.TaskSpec_Delay:
		out.Delay = v.duration(prefix+"delay", start.Delay, 0, year)
	case *taskraftv1.TaskSpec_RunAt:
		out.RunAt = v.runAt(prefix+"run_at", start.RunAt)
	}
	if d := in.GetTimeout(); d != nil {
		out.Timeout = new(v.duration(prefix+"timeout", d, time.Millisecond, maxTimeout))
	}
	out.BackoffBase, out.BackoffMax = v.backoff(prefix+"backoff", in.GetBackoff())
	out.ExpiresIn = v.duration(prefix+"expires_in", in.GetExpiresIn(), time.Millisecond, year)
	if d := in.GetRetain(); d != nil {
		out.Retain = new(v.duration(prefix+"retain", d, time.Second, year))
	}
	v.relations(prefix, in, out)
	out.OnSuccess = s.followUps(v, prefix+"on_success", in.GetOnSuccess())
	out.OnDead = s.followUps(v, prefix+"on_dead", in.GetOnDead())
	out.Broadcast = v.broadcast(prefix+"broadcast", in.GetBroadcast())
	if out.Broadcast != nil && (len(out.Require) > 0 || out.ConcurrencyKey != "") {
		v.add(prefix+"broadcast", "contradicts require and concurrency_key: its selector says which workers get it, each once")
	}
	if out.RequestId != "" {
		out.ContentDigest = specDigest(out)
	}
	return out
}

// relations checks what a task waits for.
func (v *violations) relations(prefix string, in *taskraftv1.TaskSpec, out *fsmpb.TaskSpec) {
	out.After, out.AfterItems = in.GetAfter(), in.GetAfterItems()
	if n := len(out.After) + len(out.AfterItems); n > fsm.MaxParents {
		v.add(prefix+"after", "got %d parents, want at most %d", n, fsm.MaxParents)
	}
	if slices.Contains(out.After, 0) {
		v.add(prefix+"after", "got 0, want task ids of 1 or more")
	}
	switch p := in.GetAfterPolicy(); p {
	case taskraftv1.AfterPolicy_AFTER_POLICY_UNSPECIFIED, taskraftv1.AfterPolicy_AFTER_CANCEL:
	case taskraftv1.AfterPolicy_AFTER_RUN:
		out.AfterRun = true
	default:
		v.add(prefix+"after_policy", "unknown value %d, want AFTER_CANCEL or AFTER_RUN", p)
	}
}

// followUps checks tasks that are submitted with the end of something. What could
// refuse one of them then is refused now.
func (s *Server) followUps(v *violations, field string, in []*taskraftv1.TaskSpec) []*fsmpb.TaskSpec {
	if len(in) == 0 {
		return nil
	}
	if len(in) > fsm.MaxFollowUps {
		v.add(field, "got %d tasks, want at most %d", len(in), fsm.MaxFollowUps)
		return nil
	}
	size := 0
	out := make([]*fsmpb.TaskSpec, len(in))
	for i, spec := range in {
		at := fmt.Sprintf("%s[%d].", field, i)
		switch {
		case spec.GetRequestId() != "":
			v.add(at+"request_id", "a follow-up has none: it is submitted once")
		case spec.GetUniqueKey() != "":
			v.add(at+"unique_key", "a follow-up has none: its submit cannot be refused")
		case len(spec.GetAfter())+len(spec.GetAfterItems()) > 0:
			v.add(at+"after", "a follow-up waits for nothing else")
		case len(spec.GetOnSuccess())+len(spec.GetOnDead()) > 0:
			v.add(at+"on_success", "a follow-up has no follow-ups of its own")
		default:
			size += proto.Size(spec)
			out[i] = s.spec(v, at, spec)
		}
	}
	if size > maxFollowUpBytes {
		v.add(field, "got %d bytes, want at most %d", size, maxFollowUpBytes)
	}
	return out
}

// specs checks a batch as a whole and each of its items.
func (s *Server) specs(v *violations, req *taskraftv1.SubmitTasksRequest) []*fsmpb.TaskSpec {
	in := req.GetTasks()
	if n := len(in); n == 0 || n > fsm.MaxBatch {
		v.add("tasks", "got %d tasks, want 1 to %d in one call", n, fsm.MaxBatch)
		return nil
	}
	if size := proto.Size(req); size > maxBatchBytes {
		v.add("tasks", "got %d bytes, want at most %d in one call", size, maxBatchBytes)
		return nil
	}
	out := s.items(v, 0, in)
	for i, spec := range in {
		for _, item := range spec.GetAfterItems() {
			if int(item) >= len(in) {
				v.add(fmt.Sprintf("tasks[%d].after_items", i), "got %d, want a place in this call, below %d", item, len(in))
			}
		}
	}
	return out
}

// items checks the tasks of a call or batch, the first of which has this place.
func (s *Server) items(v *violations, first int, in []*taskraftv1.TaskSpec) []*fsmpb.TaskSpec {
	out := make([]*fsmpb.TaskSpec, len(in))
	for i, spec := range in {
		before := len(*v)
		out[i] = s.spec(v, "", spec)
		for _, f := range (*v)[before:] {
			f.Field = fmt.Sprintf("tasks[%d].%s", first+i, f.Field)
		}
	}
	return out
}

func (v *violations) text(field, s string, most int) {
	if len(s) > most {
		v.add(field, "got %d bytes, want at most %d", len(s), most)
		return
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			v.add(field, "got %s, want no control characters", quoted(s))
			return
		}
	}
}

// unique checks the unique key and until when it is kept.
func (v *violations) unique(prefix string, in *taskraftv1.TaskSpec, out *fsmpb.TaskSpec) {
	out.UniqueKey = in.GetUniqueKey()
	v.text(prefix+"unique_key", out.UniqueKey, maxID)
	switch until := in.GetUniqueUntil(); {
	case until < 0 || until > taskraftv1.UniqueUntil_UNIQUE_UNTIL_START:
		v.add(prefix+"unique_until", "unknown value %d, want UNIQUE_UNTIL_TERMINAL or UNIQUE_UNTIL_START", until)
	case until != 0 && out.UniqueKey == "":
		v.add(prefix+"unique_until", "given without a unique_key")
	default:
		out.UniqueUntilStart = until == taskraftv1.UniqueUntil_UNIQUE_UNTIL_START
	}
}

// require returns the labels in the order of their keys: equal maps have equal digests.
func (v *violations) require(field string, labels map[string]string) []*fsmpb.Label {
	if len(labels) == 0 {
		return nil
	}
	v.labels(field, labels)
	out := make([]*fsmpb.Label, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, &fsmpb.Label{Key: key, Value: labels[key]})
	}
	return out
}

func (v *violations) priority(field string, p *int32) *int32 {
	if p != nil && (*p < -maxPriority || *p > maxPriority) {
		v.add(field, "got %d, want %d to %d", *p, -maxPriority, maxPriority)
	}
	return p
}

func (v *violations) attempts(field string, n *int32) *uint32 {
	if n == nil {
		return nil
	}
	if *n < 1 || *n > maxAttempts {
		v.add(field, "got %d, want 1 to %d", *n, maxAttempts)
		return nil
	}
	return new(uint32(*n))
}

// runAt returns Unix nanoseconds; the past means now.
func (v *violations) runAt(field string, at *timestamppb.Timestamp) int64 {
	if err := at.CheckValid(); err != nil {
		v.add(field, "not a valid timestamp")
		return 0
	}
	if t := at.AsTime(); time.Until(t) > year {
		v.add(field, "got %s, want at most one year ahead", t.Format(time.RFC3339))
		return 0
	}
	if at.GetSeconds() <= 0 { // before the years that nanoseconds can tell
		return 1
	}
	return at.AsTime().UnixNano()
}

func (v *violations) backoff(field string, b *taskraftv1.Backoff) (base, most *int64) {
	if b == nil {
		return nil, nil
	}
	if b.GetBase() != nil {
		base = new(v.duration(field+".base", b.GetBase(), time.Millisecond, maxBackoff))
	}
	if b.GetMax() != nil {
		most = new(v.duration(field+".max", b.GetMax(), time.Millisecond, maxBackoff))
	}
	if base != nil && most != nil && *base > *most {
		v.add(field+".max", "got %v, want at least the base %v", time.Duration(*most), time.Duration(*base))
	}
	return base, most
}

// specDigest is what one request id stands for: equal for equal content as sent.
func specDigest(spec *fsmpb.TaskSpec) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(spec)
	if err != nil {
		panic(err) // all strings are checked to be UTF-8 by the decoder
	}
	return digest(b)
}

// digest is the first 8 bytes of SHA-256 over the parts, each preceded by its length.
func digest(parts ...[]byte) uint64 {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}
