package rpc

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	maxRunning = 1_000_000
	maxTokens  = 1_000_000
	maxPeriod  = 24 * time.Hour
)

// settings checks a change of a queue's settings: what is to be set, and the
// log's numbers of what is to be unset first.
func (v *violations) settings(in *taskraftv1.QueueSettings, mask *fieldmaskpb.FieldMask) (set *fsmpb.QueueSettings, unset []uint32) {
	if in == nil {
		in = &taskraftv1.QueueSettings{}
	}
	if mask != nil {
		in, unset = v.masked(in, mask.GetPaths())
	}
	if mask == nil && proto.Size(in) == 0 {
		v.add("settings", "nothing is set: want at least one setting, or an update_mask")
	}
	const prefix = "settings."
	set = &fsmpb.QueueSettings{
		Priority:    v.priority(prefix+"priority", in.Priority),
		MaxAttempts: v.attempts(prefix+"max_attempts", in.MaxAttempts),
		RetainCount: in.RetainCount, RetainBytes: in.RetainBytes,
		MaxTasks: in.MaxTasks, MaxBytes: in.MaxBytes, SelfFence: in.SelfFence,
		MaxRunning:       v.limit(prefix+"max_running", in.MaxRunning),
		MaxRunningPerKey: v.limit(prefix+"max_running_per_key", in.MaxRunningPerKey),
		Rate:             v.rate(prefix+"rate", in.GetRate()),
	}
	set.BackoffBase, set.BackoffMax = v.backoff(prefix+"backoff", in.GetBackoff())
	if d := in.GetTimeout(); d != nil {
		set.Timeout = new(v.duration(prefix+"timeout", d, time.Millisecond, maxTimeout))
	}
	if d := in.GetRetain(); d != nil {
		set.Retain = new(v.duration(prefix+"retain", d, time.Second, year))
	}
	if d := in.GetAgeing(); d != nil {
		set.Ageing = new(v.duration(prefix+"ageing", d, time.Millisecond, year))
	}
	return set, unset
}

// masked returns the settings that the mask names and the numbers, in the log,
// of those that it names and that are not set.
func (v *violations) masked(in *taskraftv1.QueueSettings, paths []string) (*taskraftv1.QueueSettings, []uint32) {
	out := &taskraftv1.QueueSettings{}
	from, to := in.ProtoReflect(), out.ProtoReflect()
	var unset []uint32
	for _, path := range paths {
		switch field := from.Descriptor().Fields().ByName(protoreflect.Name(path)); {
		case field == nil:
			v.add("update_mask", "got %s, want the name of a setting, as in max_running", quoted(path))
		case from.Has(field):
			to.Set(field, from.Get(field))
		default:
			unset = append(unset, settingNumbers(path)...)
		}
	}
	return out, unset
}

// settingNumbers are the log's numbers of a setting.
func settingNumbers(name string) []uint32 {
	names := []string{name}
	if name == "backoff" {
		names = []string{"backoff_base", "backoff_max"}
	}
	fields := (*fsmpb.QueueSettings)(nil).ProtoReflect().Descriptor().Fields()
	var out []uint32
	for _, name := range names {
		out = append(out, uint32(fields.ByName(protoreflect.Name(name)).Number()))
	}
	return out
}

func (v *violations) limit(field string, n *uint32) *uint32 {
	if n != nil && (*n < 1 || *n > maxRunning) {
		v.add(field, "got %d, want 1 to %d; to stop the queue, pause it", *n, maxRunning)
	}
	return n
}

func (v *violations) rate(field string, r *taskraftv1.RateLimit) *fsmpb.RateLimit {
	if r == nil {
		return nil
	}
	out := &fsmpb.RateLimit{Tokens: r.GetTokens(), Burst: max(r.GetBurst(), 1)}
	if out.Tokens < 1 || out.Tokens > maxTokens {
		v.add(field+".tokens", "got %d, want 1 to %d", out.Tokens, maxTokens)
	}
	if out.Burst > maxTokens {
		v.add(field+".burst", "got %d, want 1 to %d", out.Burst, maxTokens)
	}
	if r.GetPeriod() == nil {
		v.add(field+".period", "missing, want %v to %v", time.Millisecond, maxPeriod)
		return out
	}
	out.Period = v.duration(field+".period", r.GetPeriod(), time.Millisecond, maxPeriod)
	if per := int64(out.Tokens) * int64(time.Microsecond); out.Period > 0 && out.Period < per {
		v.add(field, "got %d in %v, want at most one in a microsecond", out.Tokens, time.Duration(out.Period))
	}
	return out
}

// settings converts a queue's settings.
func settings(s *fsmpb.QueueSettings) *taskraftv1.QueueSettings {
	out := &taskraftv1.QueueSettings{
		Priority: s.Priority, RetainCount: s.RetainCount, RetainBytes: s.RetainBytes,
		MaxRunning: s.MaxRunning, MaxRunningPerKey: s.MaxRunningPerKey, MaxTasks: s.MaxTasks, MaxBytes: s.MaxBytes, SelfFence: s.SelfFence,
	}
	if s.Timeout != nil {
		out.Timeout = duration(*s.Timeout)
	}
	if s.MaxAttempts != nil {
		out.MaxAttempts = new(int32(*s.MaxAttempts))
	}
	out.Backoff = backoff(s.BackoffBase, s.BackoffMax)
	if s.Retain != nil {
		out.Retain = duration(*s.Retain)
	}
	if s.Ageing != nil {
		out.Ageing = duration(*s.Ageing)
	}
	if r := s.GetRate(); r != nil {
		out.Rate = &taskraftv1.RateLimit{Tokens: r.Tokens, Period: duration(r.Period), Burst: r.Burst}
	}
	return out
}
