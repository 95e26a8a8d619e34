//go:build !vnext

package cluster

import (
	"context"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// describe and noteLed are where a version with the tag vnext writes what the level
// above fsm.Level of this one allows.
func (n *Node) describe(*fsmpb.SetMember, about) {}

func (n *Node) noteLed(context.Context) {}
