package model

import (
	"bytes"
	"testing"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestGroupsAgree asks the model and the product, which share no code, in which group of
// dead tasks an error belongs.
func TestGroupsAgree(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"no", "attempt timed out", "exit status 3", "row 17 of 4,096", `open "a b": no such file`, "it's gone", "'x' is not 'y'",
		"0x1f is no address", "request 9a3f01c2d4e5b687 failed", "deadbeef is a word", "two  blanks\tand a tab ",
		"id 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "2 of 5 workers acknowledged, 1 failed",
	} {
		m, table := New(), fsm.New()
		for i, c := range []*fsmpb.Command{
			submit("a"),
			{Kind: &fsmpb.Command_OpenSession{OpenSession: &fsmpb.OpenSession{Worker: "w", Boot: "b", Slots: 1, Queues: []*fsmpb.QueueWeight{{Queue: "a"}}}}},
			{Kind: &fsmpb.Command_Assign{Assign: &fsmpb.Assign{Session: 1, N: 1}}},
			{Kind: &fsmpb.Command_Fail{Fail: &fsmpb.Fail{Worker: "w", Boot: "b", Items: []*fsmpb.Failure{{Task: 1, Fence: 1, Error: text, Permanent: true}}}}},
		} {
			data := entry(t, 1, second, c)
			if _, err := m.Apply(uint64(i+1), 1, data); err != nil {
				t.Fatal(err)
			}
			e, err := fsm.DecodeEntry(bytes.Clone(data))
			if err != nil {
				t.Fatal(err)
			}
			table.Apply(uint64(i+1), 1, e)
		}
		for g := range table.DeadGroups(new(fsmpb.RetryDead), 0) {
			if mine := m.tasks[1].group(); mine != g.ID {
				t.Errorf("%q: the product's group is %q, the model has another", text, g.Error)
			}
		}
	}
}

// TestShares: a queue may come before another by its share and not by more.
func TestShares(t *testing.T) {
	t.Parallel()
	mail, news := &fsmpb.QueueWeight{Queue: "mail", Weight: 3}, &fsmpb.QueueWeight{Queue: "news", Weight: 1}
	both := map[string]bool{"mail": true, "news": true}
	for name, c := range map[string]struct {
		starts []string
		ready  map[string]bool
		broken bool
	}{
		"by their shares":      {[]string{"mail", "news", "mail", "mail", "mail", "news", "mail"}, both, false},
		"one after the other":  {[]string{"mail", "mail", "mail", "news", "news"}, both, true},
		"one alone":            {[]string{"mail", "mail", "mail", "mail", "mail"}, both, true},
		"one has nothing":      {[]string{"mail", "mail", "mail", "mail", "mail"}, map[string]bool{"mail": true}, false},
		"the other one's turn": {[]string{"news", "mail", "news", "news"}, both, true},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if _, broken := recover().(*Breach); broken != c.broken {
					t.Errorf("breach: %t, want %t", broken, c.broken)
				}
			}()
			h := new(shares)
			h.settle(nil, []*fsmpb.QueueWeight{mail, news})
			for _, queue := range c.starts {
				h.hold(mail, news, queue, c.ready)
			}
		})
	}
}
