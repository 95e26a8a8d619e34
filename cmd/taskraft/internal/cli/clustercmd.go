package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// askTimeout bounds what one master may take to tell of itself.
const askTimeout = 2 * time.Second

func (a *app) clusterCommand() *cobra.Command {
	return a.group("cluster", "Look at the masters, move leadership",
		a.clusterStatusCommand(), a.clusterMembersCommand(), a.clusterTransferCommand(), a.clusterDigestCommand())
}

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

func (a *app) clusterStatusCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "status [flags]", short: "Ask every master how it is",
		long: "Ask every master how it is: those of --masters and those that they name. Exits with 7 when nobody leads.",
		rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				view := a.clusterView(ctx, c)
				if err := a.printCluster(view); err != nil {
					return err
				}
				if view.Leader == "" {
					return fail(exitNoLeader, "the masters' logs; a majority of them must run and reach each other", "no master leads")
				}
				return nil
			})
		},
	})
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
	type M = *masterView
	p := a.printer()
	if !p.People() && p.Format != show.Name {
		return p.Object(v, v.Leader, nil)
	}
	status := func(get func(*taskraftv1.GetStatusResponse) string) func(M) string {
		return func(m M) string {
			if m.status == nil {
				return ""
			}
			return get(m.status)
		}
	}
	type S = *taskraftv1.GetStatusResponse
	list := show.NewList(p, "masters", status(S.GetName), []show.Column[M]{
		{Head: "NAME", Cell: func(m M) string {
			if m.status == nil {
				return "?"
			}
			return m.status.GetName()
		}},
		{Head: "ROLE", Cell: roleOf, Tint: func(m M) int {
			switch {
			case m.status == nil:
				return show.Red
			case m.status.GetServing():
				return show.Green
			}
			return 0
		}},
		{Head: "TERM", Right: true, Cell: status(func(s S) string { return strconv.FormatUint(s.GetTerm(), 10) })},
		{Head: "APPLIED", Right: true, Cell: status(func(s S) string { return strconv.FormatUint(s.GetAppliedIndex(), 10) })},
		{Head: "LAG", Right: true, Cell: func(m M) string {
			if m.status == nil {
				return ""
			}
			return strconv.FormatUint(m.Lag, 10)
		}},
		{Head: "FSYNC P50", Right: true, Cell: status(func(s S) string { return show.Duration(s.GetFsyncP50().AsDuration()) })},
		{Head: "P99", Right: true, Cell: status(func(s S) string { return show.Duration(s.GetFsyncP99().AsDuration()) })},
		{Head: "TASKS", Right: true, Cell: status(func(s S) string { return strconv.FormatUint(s.GetTasks(), 10) })},
		{Head: "WORKERS", Right: true, Cell: status(func(s S) string { return strconv.FormatUint(s.GetSessions(), 10) })},
		{Head: "UP", Right: true, Cell: status(func(s S) string { return since(time.Now(), s.GetStartTime()) })},
		{Head: "VERSION", Cell: status(S.GetVersion)},
		{Head: "ADDRESS", Cell: func(m M) string { return m.Address }},
		{Head: "ALARMS", Cell: func(m M) string {
			if m.status == nil {
				return m.Error
			}
			return strings.Join(m.status.GetAlarms(), " ")
		}, Tint: func(M) int { return show.Red }},
	})
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

func roleOf(m *masterView) string {
	switch {
	case m.status == nil:
		return "unreachable"
	case m.status.GetRole() == "leader" && !m.status.GetServing():
		return "leader (starting)"
	}
	return m.status.GetRole()
}

func (a *app) clusterMembersCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "members [flags]", short: "List the masters as the leader sees them", rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				members, err := c.Members(ctx)
				if err != nil {
					return err
				}
				type M = *taskraftv1.Member
				list := show.NewList(a.printer(), "members", M.GetName, []show.Column[M]{
					{Head: "NAME", Cell: M.GetName},
					{Head: "LEADER", Cell: func(m M) string { return yes(m.GetLeader()) }},
					{Head: "VOTER", Cell: func(m M) string { return yes(m.GetVoter()) }},
					{Head: "REACHABLE", Cell: func(m M) string { return yes(m.GetReachable()) }},
					{Head: "APPLIED", Right: true, Cell: func(m M) string { return nonZero(m.GetAppliedIndex()) }},
					{Head: "CLOCK", Right: true, Cell: func(m M) string { return show.Duration(m.GetClockOffset().AsDuration()) }},
					{Head: "GRPC", Cell: M.GetGrpc},
					{Head: "RAFT", Cell: M.GetRaft},
					{Head: "VERSION", Cell: M.GetVersion},
					{Head: "SERVER ID", Wide: true, Cell: M.GetServerId},
				})
				for _, m := range members {
					if err := list.Add(m); err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) clusterTransferCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "transfer [NAME] [flags]", short: "Move leadership to a master, or to the best follower",
		example: "  taskraft cluster transfer n2", rows: a.dataRows(),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) > 1 {
				return []settings.Problem{{Where: "argument NAME", Problem: "too many", Got: fmt.Sprintf("%q", args), Want: "one master", Do: "see taskraft cluster members"}}
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				to := ""
				if len(args) > 0 {
					to = args[0]
				}
				l, err := c.Transfer(ctx, to)
				if err != nil {
					return err
				}
				return a.printer().Object(l, l.GetName(), func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s leads in term %d at %s\n", l.GetName(), l.GetTerm(), l.GetGrpc())
					return err
				})
			})
		},
	})
}

// digestView is one master's answer to `cluster digest`.
type digestView struct {
	Address string `json:"address"`
	Name    string `json:"name,omitempty"`
	Index   string `json:"index,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (a *app) clusterDigestCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "digest [flags]", short: "Compare the masters' tables by the SHA-256 of their snapshots",
		long: `Ask every master for the SHA-256 of its table and the log index it was taken at.
Equal indexes must have equal digests; exits with 1 when they do not.`,
		rows: a.dataRows(),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, a.runDigest)
		},
	})
}

func (a *app) runDigest(ctx context.Context, c *client.Client) error {
	list := show.NewList(a.printer(), "digests", func(d digestView) string { return d.SHA256 }, []show.Column[digestView]{
		{Head: "NAME", Cell: func(d digestView) string { return d.Name }},
		{Head: "INDEX", Right: true, Cell: func(d digestView) string { return d.Index }},
		{Head: "SHA256", Full: true, Cell: func(d digestView) string { return d.SHA256 + d.Error }},
		{Head: "ADDRESS", Cell: func(d digestView) string { return d.Address }},
	})
	at := make(map[string]string) // index → digest
	differ := false
	for _, m := range a.clusterView(ctx, c).Masters {
		d := digestView{Address: m.Address, Name: m.status.GetName(), Error: m.Error}
		if m.Reachable {
			callCtx, cancel := a.call(ctx)
			got, err := c.Digest(callCtx, m.Address)
			cancel()
			if err != nil {
				d.Error = err.Error()
			} else {
				d.Index, d.SHA256 = strconv.FormatUint(got.GetIndex(), 10), got.GetSha256()
				differ = differ || at[d.Index] != "" && at[d.Index] != d.SHA256
				at[d.Index] = d.SHA256
			}
		}
		if err := list.Add(d); err != nil {
			return err
		}
	}
	if err := list.Close(); err != nil {
		return err
	}
	if differ {
		return fail(exitError, "keeping the data directories and reporting it", "the masters' tables differ at the same index: this must never happen")
	}
	return nil
}
