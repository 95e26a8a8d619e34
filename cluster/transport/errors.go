package transport

import (
	"errors"
	"fmt"
)

// Errors of a Port's methods.
var (
	// ErrClosed: the port was closed.
	ErrClosed = errors.New("the raft port is closed")
	// ErrIsolated: the port is isolated, see Port.Isolate.
	ErrIsolated = errors.New("this node is isolated")
	// ErrNotAdopted: this node has no identity yet, so only identify may be dialled.
	ErrNotAdopted = errors.New("this node belongs to no cluster yet")
	// ErrConnLost: the connection ended before the answer; the call may have been carried out.
	ErrConnLost = errors.New("connection lost before the answer")
)

// Reason says why a handshake was refused.
type Reason uint8

// The reasons of a refusal; their numbers are on the wire.
const (
	// WrongVersion: the two sides speak different handshake versions.
	WrongVersion Reason = iota + 1
	// NotAdopted: the callee belongs to no cluster yet.
	NotAdopted
	// WrongCluster: the callee belongs to another cluster.
	WrongCluster
	// WrongServer: another server answers at that address.
	WrongServer
	// Duplicate: another live process uses the caller's server id.
	Duplicate
	// NotReady: the callee's Raft does not run yet.
	NotReady
)

func (r Reason) String() string {
	switch r {
	case WrongVersion:
		return "it speaks another handshake version"
	case NotAdopted:
		return "it belongs to no cluster yet"
	case WrongCluster:
		return "it belongs to another cluster"
	case WrongServer:
		return "another server answers there"
	case Duplicate:
		return "another live process uses this node's identity"
	case NotReady:
		return "its raft does not run yet"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// RefusedError reports a handshake that ended without a connection, because the
// callee refused or because its answer showed somebody else. The ids are the
// callee's own, empty where it has none or speaks another version.
type RefusedError struct {
	Kind      Kind
	Peer      Peer // who was dialled
	Reason    Reason
	ClusterID string
	ServerID  string
	Boot      string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s connection to %s refused: %s (cluster %q, server %q)",
		e.Kind, e.Peer, e.Reason, e.ClusterID, e.ServerID)
}

// RemoteError is an error that the called method returned, or its absence.
type RemoteError struct {
	Method  string
	Message string
	Unknown bool // the callee has no such method, or not for this caller
}

func (e *RemoteError) Error() string { return fmt.Sprintf("call %s: %s", e.Method, e.Message) }
