package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// masterView is what one master says of itself, or why it says nothing.
type masterView struct {
	Address   string          `json:"address"`
	Reachable bool            `json:"reachable"`
	Error     string          `json:"error,omitempty"`
	Lag       uint64          `json:"lag"` // entries behind the leader
	Status    json.RawMessage `json:"status,omitempty"`

	status *taskraftv1.GetStatusResponse
}

// clusterView is `cluster status -o json`.
type clusterView struct {
	Leader  string        `json:"leader"` // name; empty if nobody serves
	Masters []*masterView `json:"masters"`
}

// clusterView asks the given masters, then those that they know of.
func (a *app) clusterView(ctx context.Context, c *client.Client) *clusterView {
	v := new(clusterView)
	var asked []string
	for todo := slices.Clone(a.config.masters); len(todo) > 0; {
		found := make([]*masterView, len(todo))
		var wg sync.WaitGroup
		for i, addr := range todo {
			wg.Go(func() { found[i] = askMaster(ctx, c, addr) })
		}
		wg.Wait()
		asked = append(asked, todo...)
		todo = nil
		for _, m := range found {
			if m.twinOf(v.Masters) {
				continue
			}
			v.Masters = append(v.Masters, m)
			for _, addr := range m.status.GetLeader().GetMasters() {
				if !slices.Contains(asked, addr) && !slices.Contains(todo, addr) {
					todo = append(todo, addr)
				}
			}
		}
	}
	v.finish()
	if strings.Join(a.config.masters, ",") == defaultMasters {
		v.onlyNamed()
	}
	return v
}

// onlyNamed leaves out addresses that nobody gave and no master names: a cluster
// of one has none of the other default addresses.
func (v *clusterView) onlyNamed() {
	var named []string
	for _, m := range v.Masters {
		named = append(named, m.status.GetLeader().GetMasters()...)
	}
	if len(named) == 0 {
		return
	}
	v.Masters = slices.DeleteFunc(v.Masters, func(m *masterView) bool {
		return !m.Reachable && !slices.Contains(named, m.Address)
	})
}

func askMaster(ctx context.Context, c *client.Client, addr string) *masterView {
	m := &masterView{Address: addr}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := c.Status(ctx, addr)
	if err != nil {
		m.Error = brief(err)
		return m
	}
	m.Reachable, m.status = true, s
	return m
}

// brief is why a master did not answer, without the layers that it came through.
func brief(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + askTimeout.String()
	case strings.Contains(text, "connection refused"):
		return "connection refused"
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Message
	}
	return text
}

// twinOf tells whether the same master was already asked by another address.
func (m *masterView) twinOf(others []*masterView) bool {
	return m.Reachable && slices.ContainsFunc(others, func(o *masterView) bool {
		return o.Reachable && o.status.GetName() == m.status.GetName() && o.status.GetClusterId() == m.status.GetClusterId()
	})
}

// finish finds the leader of the highest term and everybody's distance to it.
func (v *clusterView) finish() {
	var leader *taskraftv1.GetStatusResponse
	for _, m := range v.Masters {
		if m.status.GetServing() && m.status.GetTerm() >= leader.GetTerm() {
			leader = m.status
		}
	}
	v.Leader = leader.GetName()
	for _, m := range v.Masters {
		if m.status == nil {
			continue
		}
		if l, own := leader.GetAppliedIndex(), m.status.GetAppliedIndex(); l > own {
			m.Lag = l - own
		}
		m.Status, _ = show.Marshal(m.status) // messages of this program always marshal
	}
	slices.SortStableFunc(v.Masters, func(a, b *masterView) int {
		return compareNames(a.status.GetName(), b.status.GetName())
	})
}

// compareNames sorts nameless masters, the unreachable ones, last.
func compareNames(a, b string) int {
	switch {
	case a == b:
		return 0
	case b == "" || a != "" && a < b:
		return -1
	}
	return 1
}

func (a *app) printCluster(v *clusterView) error {
	p := a.printer()
	if !p.People() && p.Format != show.Name {
		return p.Object(v, v.Leader, nil)
	}
	list := show.NewList(p, "masters", func(m *masterView) string { return m.status.GetName() }, masterColumns(time.Now()))
	for _, m := range v.Masters {
		if p.Format == show.Name && m.status == nil {
			continue
		}
		if err := list.Add(m); err != nil {
			return err
		}
	}
	return list.Close()
}

func masterColumns(now time.Time) []show.Column[*masterView] {
	type M = *masterView
	// column is empty for a master that does not answer.
	column := func(head string, cell func(*taskraftv1.GetStatusResponse) string) show.Column[M] {
		return show.Column[M]{Head: head, Right: true, Cell: func(m M) string {
			if m.status == nil {
				return ""
			}
			return cell(m.status)
		}}
	}
	number := func(head string, get func(*taskraftv1.GetStatusResponse) uint64) show.Column[M] {
		return column(head, func(s *taskraftv1.GetStatusResponse) string { return strconv.FormatUint(get(s), 10) })
	}
	type S = *taskraftv1.GetStatusResponse
	return []show.Column[M]{
		{Head: "NAME", Cell: nameOf},
		{Head: "ROLE", Cell: roleOf, Tint: roleTint},
		number("TERM", S.GetTerm),
		number("APPLIED", S.GetAppliedIndex),
		{Head: "LAG", Right: true, Cell: lagOf},
		column("FSYNC P50", func(s S) string { return show.Duration(s.GetFsyncP50().AsDuration()) }),
		column("P99", func(s S) string { return show.Duration(s.GetFsyncP99().AsDuration()) }),
		number("TASKS", S.GetTasks),
		number("WORKERS", S.GetSessions),
		column("UP", func(s S) string { return since(now, s.GetStartTime()) }),
		{Head: "VERSION", Cell: func(m M) string { return m.status.GetVersion() }},
		{Head: "ADDRESS", Cell: func(m M) string { return m.Address }},
		{Head: "ALARMS", Cell: alarmsOf, Tint: func(M) int { return show.Red }},
	}
}

func nameOf(m *masterView) string {
	if m.status == nil {
		return "?"
	}
	return m.status.GetName()
}

func roleOf(m *masterView) string {
	switch {
	case m.status == nil:
		return "unreachable"
	case m.status.GetRole() == "leader" && !m.status.GetServing():
		return "leader (starting)"
	}
	return m.status.GetRole()
}

func roleTint(m *masterView) int {
	switch {
	case m.status == nil:
		return show.Red
	case m.status.GetServing():
		return show.Green
	}
	return 0
}

func lagOf(m *masterView) string {
	if m.status == nil {
		return ""
	}
	return strconv.FormatUint(m.Lag, 10)
}

func alarmsOf(m *masterView) string {
	if m.status == nil {
		return m.Error
	}
	return strings.Join(m.status.GetAlarms(), " ")
}
