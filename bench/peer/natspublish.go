package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Headers of atomic batches, as the server's documentation (ADR-50) has them.
const (
	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

func (n *natsSystem) Producer(context.Context) (Producer, error) {
	conn := n.pool[int(n.next.Add(1))%len(n.pool)]
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	p := &natsProducer{conn: conn, js: js, failover: n.setup.Failover}
	switch n.setup.Way {
	case wayAsyncDoubleAck, wayAsyncPlainAck:
		p.submit = p.async
	case wayAtomicPlainAck:
		p.submit = p.atomic
	default:
		p.submit = p.sync
	}
	return p, nil
}

type natsProducer struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	failover bool
	submit   func(context.Context, [][]byte) error
}

func (p *natsProducer) Submit(ctx context.Context, payloads [][]byte) error {
	return p.submit(ctx, payloads)
}

// Close leaves the connection to the others that share it.
func (p *natsProducer) Close() error { return nil }

// sync publishes one message and waits for its acknowledgement. Where servers
// are killed it repeats that under one id, by which the stream drops repeats.
func (p *natsProducer) sync(ctx context.Context, payloads [][]byte) error {
	payload, err := single(payloads)
	if err != nil {
		return err
	}
	if !p.failover {
		_, err := p.js.Publish(ctx, subject, payload)
		return err
	}
	id := nuid.Next()
	for {
		try, cancel := context.WithTimeout(ctx, failoverTry)
		_, err := p.js.Publish(try, subject, payload, jetstream.WithMsgID(id))
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, pollEvery)
	}
}

// async publishes all messages and then waits for all acknowledgements.
func (p *natsProducer) async(ctx context.Context, payloads [][]byte) error {
	acks := make([]jetstream.PubAckFuture, 0, len(payloads))
	for _, payload := range payloads {
		ack, err := p.js.PublishAsync(subject, payload)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// atomic publishes all messages as one batch, of which the last is acknowledged.
func (p *natsProducer) atomic(ctx context.Context, payloads [][]byte) error {
	batch := nuid.Next()
	last := len(payloads) - 1
	for i, payload := range payloads {
		msg := &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{
			headerBatch: {batch}, headerSequence: {strconv.Itoa(i + 1)},
		}}
		if i < last {
			if err := p.conn.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header[headerCommit] = []string{"1"}
		answer, err := p.conn.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return fmt.Errorf("commit a batch: %w", err)
		}
		return committed(answer.Data, len(payloads))
	}
	return nil
}

func committed(answer []byte, want int) error {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil {
		return fmt.Errorf("commit a batch: %w", err)
	}
	if ack.Error != nil {
		return fmt.Errorf("commit a batch: %w", errors.New(ack.Error.Error()))
	}
	if ack.Count != want {
		return fmt.Errorf("commit a batch: %d of %d messages taken", ack.Count, want)
	}
	return nil
}
