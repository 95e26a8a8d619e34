package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// SaveSnapshot writes a backup of the cluster's table to w. An empty addr takes the
// leader's, which holds everything acknowledged before the call; another master (its
// gRPC address) writes its own once it holds entry minIndex. It is not repeated: what
// is in w after an error is of no use.
func (c *Client) SaveSnapshot(ctx context.Context, addr string, minIndex uint64, w io.Writer) error {
	const op = "save snapshot"
	if addr == "" {
		leader, err := c.Leader(ctx)
		if err != nil {
			return err
		}
		if addr = leader.Addr; addr == "" {
			return fmt.Errorf("%s: %w", op, ErrNoLeader)
		}
	}
	conn, err := c.follow.Conn(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := taskraftv1.NewClusterServiceClient(conn).SaveSnapshot(ctx, &taskraftv1.SaveSnapshotRequest{MinIndex: minIndex})
	if err != nil {
		return wrap(op, err, false)
	}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrap(op, err, false)
		}
		if _, err := w.Write(chunk.GetData()); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
}

// restoreChunk is what one message of a backup carries.
const restoreChunk = 256 << 10

// RestoreSnapshot makes the backup in r the table of this cluster, in which nothing may
// ever have been submitted or set. The backup is read again from its start when the
// leader has to be found first.
func (c *Client) RestoreSnapshot(ctx context.Context, r io.ReadSeeker) (*taskraftv1.RestoreSnapshotResponse, error) {
	var out *taskraftv1.RestoreSnapshotResponse
	err := c.follow.DoOnce(ctx, func(_ context.Context, conn grpc.ClientConnInterface) error {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		// The try's own context may end with a leadership that only pauses.
		stream, err := taskraftv1.NewClusterServiceClient(conn).RestoreSnapshot(ctx)
		if err != nil {
			return err
		}
		b := make([]byte, restoreChunk)
		for {
			n, err := r.Read(b)
			if n > 0 && stream.Send(&taskraftv1.SnapshotChunk{Data: b[:n]}) != nil {
				break // the answer says why
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		out, err = stream.CloseAndRecv()
		return err
	})
	return out, wrap("restore snapshot", err, true)
}
