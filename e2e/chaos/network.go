package main

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// network is what connects masters and clients, and how it is broken: by proxies,
// which anybody can run, or by network namespaces, in which packets are lost.
type network interface {
	// name is for people.
	name() string
	// place gives a master its addresses before its first start.
	place(*proc.Master) error
	// block lets nothing through any more that the first parties send to the second.
	block(from, to []string) error
	// slow delays what masters send each other, and loses a share of it.
	slow(delay time.Duration, loss float64) error
	// heal undoes all that.
	heal() error
	// dial connects a party of clients to an address.
	dial(ctx context.Context, party, addr string) (net.Conn, error)
	// home is the network namespace that a party's processes run in, nil for ours.
	home(party string) *os.File
	close() error
}

// The parties beside the masters, which have their names: clients and workers, half
// of them here and half on a side that can be cut off with a master.
const (
	here = "here"
	side = "side"
)

// part cuts two groups of parties off from each other.
func part(n network, a, b []string) error {
	if err := n.block(a, b); err != nil {
		return err
	}
	return n.block(b, a)
}
