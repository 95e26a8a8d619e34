package transport

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// Spool is a file that takes a snapshot in until it is whole.
type Spool interface {
	io.ReadWriteSeeker
	io.Closer
}

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
// newest one is taken in: its leader has given up those before.
func (r *Raft) receive(rpc raft.RPC, size int64, replica Replica) {
	number := r.arrivals.Add(1)
	r.stream.port.spawn(func() {
		from := rpc.Reader
		spool, err := replica.Spool()
		if err == nil {
			if err = r.fill(spool, from, size, number); err == nil {
				rpc.Reader = spool
				select {
				case r.whole <- received{rpc, spool}:
					return
				case <-r.done:
					err = ErrClosed
				}
			}
			err = errors.Join(err, spool.Close())
		}
		_, _ = io.Copy(io.Discard, from) // whatever comes on the connection comes behind it
		rpc.Respond(nil, err)
	})
}

// fill copies a snapshot of a size into its spool, which is then read from its begin,
// unless a newer one comes.
func (r *Raft) fill(spool Spool, from io.Reader, size int64, number uint64) error {
	n, err := io.Copy(writerFunc(func(b []byte) (int, error) {
		if r.arrivals.Load() != number {
			return 0, errSuperseded
		}
		return spool.Write(b)
	}), from)
	switch {
	case err != nil:
		return err
	case n != size:
		return fmt.Errorf("the snapshot ends after %d of %d bytes", n, size)
	case r.arrivals.Load() != number:
		return errSuperseded
	}
	_, err = spool.Seek(0, io.SeekStart)
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
