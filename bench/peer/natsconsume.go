package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// fetch is how many messages a plain-ack consumer asks for at once.
	fetch = 256
	// fetchWait is how long it waits for the first of them.
	fetchWait = time.Second
	// ackPatience is longer than any leaderless time: a double ack that is not
	// answered by then is left to the redelivery.
	ackPatience = 15 * time.Second
)

// Consume runs one pull consumer for each of a few connections.
func (n *natsSystem) Consume(ctx context.Context, w Work) error {
	count := min(processes, n.setup.Slots)
	errs := make([]error, count)
	var consumers sync.WaitGroup
	for i := range count {
		consumer, err := n.consumer(ctx)
		if err != nil {
			errs[i] = err
			continue
		}
		consumers.Go(func() {
			switch n.setup.Way {
			case wayAsyncPlainAck, wayAtomicPlainAck:
				errs[i] = n.fetch(ctx, consumer, w)
			default:
				errs[i] = n.iterate(ctx, consumer, share(n.setup.Slots, count, i), w)
			}
		})
	}
	consumers.Wait()
	return errors.Join(errs...)
}

func (n *natsSystem) consumer(ctx context.Context) (jetstream.Consumer, error) {
	conn, err := n.connectToLeader(ctx)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return js.Consumer(ctx, stream, durable)
}

// fetch handles and acknowledges batch after batch in one goroutine: a no-op
// handler needs no more, and more made it slower.
func (n *natsSystem) fetch(ctx context.Context, consumer jetstream.Consumer, w Work) error {
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(fetch, jetstream.FetchMaxWait(fetchWait))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			w.Handle(msg.Data())
			if err := msg.Ack(); err != nil {
				return err
			}
			w.Confirmed(number(msg.Data()))
		}
		if err := batch.Error(); err != nil {
			return err
		}
	}
	return nil
}

// iterate hands what the consumer's iterator prefetches to slots goroutines.
func (n *natsSystem) iterate(ctx context.Context, consumer jetstream.Consumer, slots int, w Work) error {
	messages := make(chan jetstream.Msg)
	var handlers sync.WaitGroup
	for range slots {
		handlers.Go(func() {
			for msg := range messages {
				w.Handle(msg.Data())
				if n.acknowledge(msg) == nil {
					w.Confirmed(number(msg.Data()))
				}
			}
		})
	}
	defer handlers.Wait()
	defer close(messages)
	for ctx.Err() == nil {
		if err := n.pull(ctx, consumer, messages); err != nil {
			return err
		}
	}
	return nil
}

// pull runs one iterator until ctx ends or it is lost.
func (n *natsSystem) pull(ctx context.Context, consumer jetstream.Consumer, messages chan<- jetstream.Msg) error {
	opts := []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(max(n.setup.Slots, fetch))}
	if n.setup.Slots == 1 {
		opts = []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(1)}
	}
	if n.setup.Failover { // the least there is, to notice soon that a pull was lost
		opts = append(opts, jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	}
	it, err := consumer.Messages(opts...)
	if err != nil {
		if !n.setup.Failover {
			return err
		}
		pause(ctx, pollEvery)
		return nil
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the iterator has asked again
		case err != nil && n.setup.Failover:
			pause(ctx, pollEvery)
			return nil
		case err != nil:
			return err
		}
		messages <- msg
	}
}

// acknowledge does not end with the consumer's context: what was handled is to
// be recorded.
func (n *natsSystem) acknowledge(msg jetstream.Msg) error {
	if n.setup.Way == wayPlainAck {
		return msg.Ack()
	}
	ctx, cancel := context.WithTimeout(context.Background(), ackPatience)
	defer cancel()
	if !n.setup.Failover {
		return msg.DoubleAck(ctx)
	}
	for {
		try, cancel := context.WithTimeout(ctx, failoverTry)
		err := msg.DoubleAck(try)
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		pause(ctx, pollEvery)
	}
}
