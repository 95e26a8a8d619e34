//go:build vnext

package fsm

import (
	"fmt"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Level is that of the imagined next version. It has one more command, Led, and one
// more field, SetMember.version: see fsmpb/vnext.sed.
const Level = 2

func unknownInNext(c *fsmpb.Command) bool {
	k, ok := c.Kind.(*fsmpb.Command_Led)
	return ok && unknown(k.Led)
}

func (m *Machine) next(c *fsmpb.Command) Result {
	k, ok := c.Kind.(*fsmpb.Command_Led)
	if !ok {
		panic(fmt.Sprintf("command of kind %T", c.Kind))
	}
	return m.led(k.Led)
}

// led notes in a member's record the last term in which it has led.
func (m *Machine) led(c *fsmpb.Led) Result {
	old, ok := m.members.Get(c.GetName())
	if !ok {
		return Result{Outcome: Accepted} // it is gone
	}
	m.members.Set(c.GetName(), &fsmpb.SetMember{
		Name: old.Name, ServerId: old.ServerId, Raft: old.Raft, Grpc: old.Grpc, Http: old.Http, Level: old.Level,
		Version: old.Version, LedTerm: c.GetTerm(),
	})
	m.emit(Event{Kind: MemberChanged, Name: c.GetName()})
	return Result{Outcome: Accepted}
}
