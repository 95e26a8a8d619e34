package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/fsm"
)

// used counts what followers had on disk before Raft brought it.
func (c *testCluster) used() (n uint64) {
	for _, x := range c.nodes {
		if x != nil {
			n += x.store.Stats().Used
		}
	}
	return n
}

// Followers write while the leader does, also under the next leader; what a follower
// has not got that way it gets from Raft.
func TestEntriesRunAhead(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	for term := range 3 {
		before, sent := c.used(), 0
		eventually(t, "entries run ahead", func() bool {
			c.submit(fmt.Sprintf("t%d-%d", term, sent))
			sent++
			return c.used() > before+20
		})
		c.sameDigest()
		at := c.leader()
		c.crash(at)
		c.submit(fmt.Sprintf("t%d-after", term))
		c.start(at)
	}
	c.sameDigest()
}

// orphan puts an entry on the disk of a stopped master as its leader would have
// sent it ahead before it died: a submit of a task, or what no leader sends again.
func (c *testCluster) orphan(i int, requestID string) {
	c.t.Helper()
	open := func(cfg logstore.Config) *logstore.Store {
		s, err := logstore.Open(cfg)
		if err != nil {
			c.t.Fatal(err)
		}
		return s
	}
	n := c.nodes[i]
	c.nodes[i] = nil
	s := open(n.storeConfig())
	defer s.Close()
	last := new(raft.Log)
	index, err := s.LastIndex()
	if err == nil {
		err = s.GetLog(index, last)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	e := &fsm.Entry{Header: fsm.Header{Level: 1, Term: last.Term, Now: time.Now().UnixNano()}}
	e.Commands = append(e.Commands, oneTask(requestID))
	data, err := fsm.EncodeEntry(nil, e)
	if err != nil {
		c.t.Fatal(err)
	}
	l := &raft.Log{Index: index + 1, Term: last.Term, Type: raft.LogCommand, Data: data}
	leader := open(logstore.Config{Path: c.t.TempDir() + "/raft.db"}) // seals it
	defer leader.Close()
	if err := errors.Join(leader.Adopt("x"), leader.StoreLog(l)); err != nil {
		c.t.Fatal(err)
	}
	if err := s.StoreAhead(logstore.EncodeAhead(nil, last.Term, []*raft.Log{l})); err != nil {
		c.t.Fatal(err)
	}
}

// A leader that dies after it sent an entry ahead and before it wrote it leaves the
// entry on a follower's disk only. Whoever leads next, all have it or none.
func TestOrphanAhead(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("first to start: %v", alone), func(t *testing.T) {
			c := newTestCluster(t, 3, nil)
			c.startAll()
			c.submit("before")
			c.sameDigest()
			stopped := append([]*Node(nil), c.nodes...)
			for i := range c.nodes {
				c.crash(i)
			}
			c.nodes[0] = stopped[0]
			c.orphan(0, "orphan")
			if !alone { // the others elect one that does not have it, and go on
				c.start(1)
				c.start(2)
				c.submit("after")
				c.start(0)
			} else {
				c.start(0)
				c.start(1)
				c.submit("after")
				c.start(2)
			}
			c.sameDigest()
			again := c.submit("orphan")
			c.sameDigest()
			for _, n := range c.nodes {
				if !has(n, again) {
					t.Errorf("%s lacks the task", n.cfg.Name)
				}
			}
		})
	}
}
