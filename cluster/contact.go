package cluster

import "time"

// Contact is how the leader hears a worker's session.
type Contact struct {
	Silent   time.Duration // since its last sign of life
	Attached bool          // it has a stream, a poll or, pulling, a voice
}

// Contact tells how a session is heard; false when this node does not lead or
// does not know it.
func (n *Node) Contact(session uint64) (Contact, bool) { return n.engine.contact(session) }

func (e *engine) contact(session uint64) (Contact, bool) {
	l, err := e.serving()
	if err != nil {
		return Contact{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byID[session]
	if s == nil {
		return Contact{}, false
	}
	return Contact{
		Silent:   l.now() - s.heard,
		Attached: s.stream != nil || s.poll != nil || s.pull && !l.silent(s),
	}, true
}
