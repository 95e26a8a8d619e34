//go:build !chaos

package cluster

import (
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

// tap is where the tests of real faults learn what each master applied. In the
// product it is nothing.
type tap struct{}

func newTap(string, *slog.Logger) tap { return tap{} }

func (tap) entry(*raft.Log, *fsm.Applied) {}
func (tap) flush()                        {}
