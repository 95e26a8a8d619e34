package rpc

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	defaultPage = 100
	maxPage     = 1000 // records read under one read lock
	maxScan     = 100_000
	maxFilter   = 1024
	maxPageSize = 4 << 20 // bytes
)

// ListTasks returns one page of tasks, newest first. A page ends early when
// its filter matched little of what was read; its token goes on from there.
func (s *Server) ListTasks(ctx context.Context, req *taskraftv1.ListTasksRequest) (*taskraftv1.ListTasksResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	match := v.filter(req.GetFilter())
	before, ok := pageID(req.GetPageToken(), req.GetFilter())
	if !ok {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListTasksResponse{}
	opts := cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}
	bytes := 0
	for scanned := 0; ; {
		n, more := 0, false
		pos, err := s.node.Read(ctx, opts, func(m *fsm.Machine) {
			for t := range m.TasksBefore(before) {
				if n == maxPage || len(out.Tasks) == size || bytes > maxPageSize {
					more = true
					return
				}
				n++
				before = t.ID
				if match.accepts(t) {
					row := s.lively(t, false)
					bytes += proto.Size(row)
					out.Tasks = append(out.Tasks, row)
				}
			}
		})
		if err != nil {
			return nil, s.statusOf(err)
		}
		opts.Level = cluster.Stale // the first round was as fresh as asked
		out.Position = s.position(pos)
		scanned += n
		if !more {
			return out, nil
		}
		if len(out.Tasks) == size || scanned >= maxScan || bytes > maxPageSize {
			out.NextPageToken = pageToken(before, req.GetFilter())
			return out, nil
		}
	}
}

// ListQueues returns one page of queues by name.
func (s *Server) ListQueues(ctx context.Context, req *taskraftv1.ListQueuesRequest) (*taskraftv1.ListQueuesResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	after := v.namePage(req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListQueuesResponse{}
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for q := range m.QueuesAfter(after) {
			if len(out.Queues) == size {
				out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(out.Queues[size-1].Name))
				return
			}
			out.Queues = append(out.Queues, queue(q))
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out.Position = s.position(pos)
	return out, nil
}

// pageSize clamps to 1…maxPage; 0 means the default.
func (v *violations) pageSize(n int32) int {
	switch {
	case n < 0:
		v.add("page_size", "got %d, want 0 to %d", n, maxPage)
		return 1
	case n == 0:
		return defaultPage
	}
	return min(int(n), maxPage)
}

// A page token is the last id seen and a checksum of the filter, so that a token
// of another list is refused.
func pageToken(before uint64, filter string) string {
	b := binary.BigEndian.AppendUint64(nil, before)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(filter)))
	return base64.RawURLEncoding.EncodeToString(b)
}

func pageID(token, filter string) (before uint64, ok bool) {
	if token == "" {
		return 0, true
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 12 || binary.BigEndian.Uint32(b[8:]) != crc32.ChecksumIEEE([]byte(filter)) {
		return 0, false
	}
	before = binary.BigEndian.Uint64(b)
	return before, before > 0
}

// taskFilter is a parsed filter: every term must hold.
type taskFilter []func(*fsm.Task) bool

func (f taskFilter) accepts(t *fsm.Task) bool {
	for _, term := range f {
		if !term(t) {
			return false
		}
	}
	return true
}

// filter parses terms joined by blanks or AND: state=READY queue=mail
// kind=command worker=w1 id>=1000 id<=2000.
func (v *violations) filter(s string) taskFilter {
	if len(s) > maxFilter {
		v.add("filter", "got %d bytes, want at most %d", len(s), maxFilter)
		return nil
	}
	var out taskFilter
	for term := range strings.FieldsSeq(s) {
		if term == "AND" {
			continue
		}
		f, err := parseTerm(term)
		if err != nil {
			v.add("filter", "%v", err)
			return nil
		}
		out = append(out, f)
	}
	return out
}

func parseTerm(term string) (func(*fsm.Task) bool, error) {
	i := strings.IndexAny(term, "=<>")
	if i < 0 {
		return nil, fmt.Errorf("term %s: want name=value, as in state=READY", quoted(term))
	}
	name, value := term[:i], strings.TrimLeft(term[i:], "=<>")
	switch op := term[i : len(term)-len(value)]; {
	case op == "=" && name == "state":
		state, ok := taskraftv1.TaskState_value[strings.ToUpper(value)]
		if !ok || state == 0 {
			return nil, fmt.Errorf("state %s: want SCHEDULED, READY, RUNNING, STOPPING, SUCCEEDED, DEAD or CANCELLED", quoted(value))
		}
		return func(t *fsm.Task) bool { return t.State == fsm.State(state) }, nil
	case op == "=" && name == "queue":
		return func(t *fsm.Task) bool { return t.Queue == value }, nil
	case op == "=" && name == "kind":
		return func(t *fsm.Task) bool { return t.Kind == value }, nil
	case op == "=" && name == "worker":
		return func(t *fsm.Task) bool { return t.Worker == value }, nil
	case name == "id" && (op == ">=" || op == "<="):
		id, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("id %s: want a number", quoted(value))
		}
		if op == ">=" {
			return func(t *fsm.Task) bool { return t.ID >= id }, nil
		}
		return func(t *fsm.Task) bool { return t.ID <= id }, nil
	}
	return nil, fmt.Errorf("term %s: want state=, queue=, kind=, worker=, id>= or id<=", quoted(term))
}
