package rpc

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/cluster/backup"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// chunkSize is what one message of a backup carries.
const chunkSize = 256 << 10

// SaveSnapshot streams a backup of this master's table.
func (s *Server) SaveSnapshot(req *taskraftv1.SaveSnapshotRequest, stream grpc.ServerStreamingServer[taskraftv1.SnapshotChunk]) error {
	_, err := s.node.Backup(stream.Context(), req.GetMinIndex(), chunkWriter{stream})
	if err != nil {
		return s.statusOf(err)
	}
	return nil
}

// chunkWriter sends what is written as messages.
type chunkWriter struct {
	stream grpc.ServerStreamingServer[taskraftv1.SnapshotChunk]
}

func (w chunkWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		part := p[:min(len(p), chunkSize)]
		if err := w.stream.Send(&taskraftv1.SnapshotChunk{Data: part}); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

// RestoreSnapshot makes a backup the table of this cluster, which must be untouched.
func (s *Server) RestoreSnapshot(stream grpc.ClientStreamingServer[taskraftv1.SnapshotChunk, taskraftv1.RestoreSnapshotResponse]) error {
	info, err := s.node.Restore(stream.Context(), &chunkReader{stream: stream})
	if err != nil {
		return s.restoreError(err)
	}
	return stream.SendAndClose(&taskraftv1.RestoreSnapshotResponse{
		ClusterId: s.node.ClusterID(), FromClusterId: info.ClusterID, Index: info.Index, Tasks: uint64(s.node.Status().Tasks),
	})
}

func (s *Server) restoreError(err error) error {
	switch {
	case errors.Is(err, cluster.ErrNotEmpty):
		return statusError(codes.FailedPrecondition, reason.NotEmpty, err.Error(), nil)
	case errors.Is(err, backup.ErrNotBackup), errors.Is(err, backup.ErrDamaged), errors.Is(err, backup.ErrNewer):
		return statusError(codes.InvalidArgument, reason.BadBackup, err.Error(), nil)
	}
	return s.statusOf(err)
}

// chunkReader reads the messages of a backup as one stream.
type chunkReader struct {
	stream grpc.ClientStreamingServer[taskraftv1.SnapshotChunk, taskraftv1.RestoreSnapshotResponse]
	rest   []byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		chunk, err := r.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at the end
		}
		r.rest = chunk.GetData()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

var _ io.Reader = (*chunkReader)(nil)
