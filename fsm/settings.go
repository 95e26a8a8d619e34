package fsm

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// setQueue changes a queue's settings; the queue is made on first use.
func (m *Machine) setQueue(c *fsmpb.SetQueue) Result {
	name := queueName(c.GetQueue())
	if m.lines[name] == nil && len(m.lines) >= MaxQueues {
		return Result{Outcome: QueuesFull}
	}
	l := m.line(name)
	rec := m.editQueue(l)
	if c.Paused != nil {
		rec.paused = *c.Paused
	}
	if c.Settings != nil || len(c.GetUnset()) > 0 {
		rec.settings = changed(rec.settings, c.GetSettings(), c.GetUnset())
		perKey := l.perKey
		l.configure()
		m.changeRate(l, rateOf(rec.settings.GetRate()))
		if l.perKey != perKey {
			l.settleKeys()
		}
		m.setTrimDue(l)
	}
	m.emit(Event{Kind: QueueChanged, Name: name})
	return Result{Outcome: Accepted}
}

// changed returns settings with some fields unset and others set.
func changed(old, set *fsmpb.QueueSettings, unset []uint32) *fsmpb.QueueSettings {
	now := proto.CloneOf(old)
	m := now.ProtoReflect()
	for _, n := range unset {
		if field := m.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(n)); field != nil {
			m.Clear(field)
		}
	}
	if set.GetRate() != nil {
		now.Rate = nil // set as a whole
	}
	proto.Merge(now, set)
	return now
}

// setMember records where a master can be reached and what it supports.
func (m *Machine) setMember(c *fsmpb.SetMember) Result {
	m.members.Set(c.GetName(), c)
	m.emit(Event{Kind: MemberChanged, Name: c.GetName()})
	return Result{Outcome: Accepted}
}

// removeMember forgets a member that is gone, unless another incarnation has taken
// its place.
func (m *Machine) removeMember(c *fsmpb.RemoveMember) Result {
	if r, ok := m.members.Get(c.GetName()); ok && r.GetServerId() == c.GetServerId() {
		m.members.Delete(c.GetName())
		m.emit(Event{Kind: MemberChanged, Name: c.GetName()})
	}
	return Result{Outcome: Accepted}
}

// finalize raises the feature level once every member has reported support. It
// never goes down. The level may be above this binary's own: then its master stops
// with this entry, as it must.
func (m *Machine) finalize(c *fsmpb.Finalize) Result {
	level := c.GetLevel()
	ok := level >= uint32(m.level) && level <= 1<<16-1 && m.members.Len() > 0
	m.members.Scan(func(_ string, member *fsmpb.SetMember) bool {
		ok = ok && member.GetLevel() >= level
		return ok
	})
	if !ok {
		return Result{Outcome: LevelRefused}
	}
	m.level = uint16(level)
	m.emit(Event{Kind: LevelRaised})
	return Result{Outcome: Accepted}
}
