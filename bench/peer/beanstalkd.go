package peer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/beanstalkd/go-beanstalk"
)

const (
	reserveWait = time.Second
	timeToRun   = time.Minute
	tubePrio    = 1024
)

// beanstalkd is one server with a write-ahead log.
type beanstalkd struct {
	daemon
	setup Setup
	fsync string // milliseconds between fsyncs at most; 0: each write
}

func newBeanstalkd(fsync string) func(Setup) System {
	return func(s Setup) System { return &beanstalkd{setup: s, fsync: fsync} }
}

func (b *beanstalkd) Start(ctx context.Context, dir string) error {
	path, err := program("beanstalkd", "/usr/local/bin")
	if err != nil {
		return err
	}
	binlog, err := mkdir(dir, "binlog")
	if err != nil {
		return err
	}
	return b.start(ctx, dir, path, func(port int) []string {
		text := strconv.Itoa(port)
		return []string{"-l", "127.0.0.1", "-p", text, "-b", binlog, "-f" + b.fsync}
	})
}

func (b *beanstalkd) Stop() error { return b.stop() }

// Producer gives each goroutine a connection of its own.
func (b *beanstalkd) Producer(context.Context) (Producer, error) {
	conn, err := beanstalk.Dial("tcp", b.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to beanstalkd: %w", err)
	}
	return beanstalkProducer{conn}, nil
}

type beanstalkProducer struct{ conn *beanstalk.Conn }

func (p beanstalkProducer) Submit(_ context.Context, payloads [][]byte) error {
	payload, err := single(payloads)
	if err != nil {
		return err
	}
	_, err = p.conn.Put(payload, tubePrio, 0, timeToRun)
	return err
}

func (p beanstalkProducer) Close() error { return p.conn.Close() }

// Consume reserves, handles and deletes on a connection for each slot.
func (b *beanstalkd) Consume(ctx context.Context, w Work) error {
	errs := make([]error, b.setup.Slots)
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() { errs[i] = b.work(ctx, w) })
	}
	workers.Wait()
	return errors.Join(errs...)
}

func (b *beanstalkd) work(ctx context.Context, w Work) error {
	conn, err := beanstalk.Dial("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("connect to beanstalkd: %w", err)
	}
	defer conn.Close()
	for ctx.Err() == nil {
		id, payload, err := conn.Reserve(reserveWait)
		if errors.Is(err, beanstalk.ErrTimeout) {
			continue
		}
		if err != nil {
			return err
		}
		w.Handle(payload)
		if err := conn.Delete(id); err != nil {
			return err
		}
		w.Confirmed(id)
	}
	return nil
}
