package rpc

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const (
	defaultPage = 100
	maxPage     = 1000    // records read under one read lock
	maxPageSize = 4 << 20 // bytes
)

// ListTasks returns one page of tasks, newest first. A page ends early when its
// tasks are large; its token goes on from there.
func (s *Server) ListTasks(ctx context.Context, req *taskraftv1.ListTasksRequest) (*taskraftv1.ListTasksResponse, error) {
	var v violations
	level := v.consistency(req.GetConsistency(), cluster.Stale)
	size := v.pageSize(req.GetPageSize())
	filter := v.filter(req.GetFilter())
	before, ok := pageID(req.GetPageToken(), req.GetFilter())
	if !ok {
		v.add("page_token", "not a token of this list: start again without one")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &taskraftv1.ListTasksResponse{}
	bytes := 0
	pos, err := s.node.Read(ctx, cluster.ReadOptions{Level: level, MinIndex: req.GetMinIndex()}, func(m *fsm.Machine) {
		for t := range m.Find(filter, before) {
			if len(out.Tasks) == size || bytes > maxPageSize {
				out.NextPageToken = pageToken(before, req.GetFilter())
				return
			}
			before = t.ID
			row := s.lively(t, false)
			bytes += proto.Size(row)
			out.Tasks = append(out.Tasks, row)
		}
	})
	if err != nil {
		return nil, s.statusOf(err)
	}
	out.Position = s.position(pos)
	return out, nil
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
