package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

// Spool is a file that takes a snapshot in until it is whole.
type Spool interface {
	io.ReadWriteSeeker
	io.Closer
}

// arrival is a snapshot that comes in.
type arrival struct{ term uint64 }

// received is a snapshot that has come in whole.
type received struct {
	rpc   raft.RPC // reads from spool
	spool Spool
}

var errSuperseded = errors.New("another snapshot has come after this one")

// receive takes a snapshot in beside Raft, which gets it when it is whole. The library
// would read it from the connection in its main loop, with no time-out, and hear nobody
// meanwhile: not its leader, and when the sender's machine has lost its power, not the
// others, who need its vote, until TCP gives the connection up after minutes. Only the
// newest one of the newest term is taken in: its leader has given up those before.
//
// It is called by the pump alone. Nobody waits for the goroutine: it may hang with the
// disk, and ends with the connection else.
func (r *Raft) receive(rpc raft.RPC, args *raft.InstallSnapshotRequest, replica Replica) {
	own := &arrival{args.Term}
	if before := r.newest.Load(); before == nil || before.term <= own.term {
		r.newest.Store(own)
	}
	go func() {
		from := rpc.Reader
		err := r.takeIn(&rpc, args.Size, own, replica)
		if err != nil {
			err = fmt.Errorf("take in the snapshot up to entry %d: %w", args.LastLogIndex, err)
			r.stream.port.log.Warn("snapshot not taken in", slog.Any("err", err))
			_, _ = io.Copy(io.Discard, from) // whatever comes on the connection comes behind it
			rpc.Respond(nil, err)
		}
	}()
}

// takeIn hands the pump a snapshot of a size when it is whole.
func (r *Raft) takeIn(rpc *raft.RPC, size int64, own *arrival, replica Replica) error {
	if r.newest.Load() != own {
		return errSuperseded
	}
	spool, err := replica.Spool()
	if err != nil {
		return err
	}
	if err := r.fill(spool, rpc.Reader, size, own); err != nil {
		return errors.Join(err, spool.Close())
	}
	rpc.Reader = spool
	select {
	case r.whole <- received{*rpc, spool}:
		return nil
	case <-r.done:
		return errors.Join(ErrClosed, spool.Close())
	}
}

// fill copies a snapshot of a size into its spool, which is then read from its begin,
// unless a newer one comes.
func (r *Raft) fill(spool Spool, from io.Reader, size int64, own *arrival) error {
	n, err := io.Copy(writerFunc(func(b []byte) (int, error) {
		if r.newest.Load() != own {
			return 0, errSuperseded
		}
		return spool.Write(b)
	}), from)
	switch {
	case err != nil:
		return err
	case n != size:
		return fmt.Errorf("the snapshot ends after %d of %d bytes", n, size)
	case r.newest.Load() != own:
		return errSuperseded
	}
	_, err = spool.Seek(0, io.SeekStart)
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
