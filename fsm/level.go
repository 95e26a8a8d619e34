//go:build !vnext

package fsm

import (
	"fmt"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Level is the newest feature level that this binary understands. A version that
// adds commands or fields to the log raises it by one, and writes none of them while
// Machine.FeatureLevel is lower: older masters may be in the cluster. The build tag
// vnext makes a binary of such a version, for tests of upgrades (docs/upgrade.md).
const Level = 1

// unknownInNext and next are where a version with the tag vnext has its commands.
func unknownInNext(*fsmpb.Command) bool { return false }

func (m *Machine) next(c *fsmpb.Command) Result { panic(fmt.Sprintf("command of kind %T", c.Kind)) }
