package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// maxMasters bounds what a bad answer can make a Follower connect to.
const maxMasters = 32

// Config says where to start.
type Config struct {
	// Masters are gRPC addresses as host:port; hosts may be DNS names. One
	// reachable master is enough, the others are learned from it.
	Masters []string
	// Dial adds to the options of every connection.
	Dial   []grpc.DialOption
	Logger *slog.Logger // nil: discard
}

// Follower knows the masters and who leads. Its methods may be called from any
// goroutine.
type Follower struct {
	cfg   Config
	log   *slog.Logger
	began time.Time
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	masters map[string]*master
	guests  map[string]*master // others that Conn was asked for: not watched, never called by Do
	order   []*master          // for rotation; replaced, never changed
	next    int                // rotation
	belief  belief
	reign   *reign

	posMu sync.Mutex
	pos   Position
}

// New checks the addresses and starts to connect; it does not wait for an answer.
func New(cfg Config) (*Follower, error) {
	if len(cfg.Masters) == 0 {
		return nil, errors.New("no master address given: want host:port,…")
	}
	for _, addr := range cfg.Masters {
		if err := checkAddr(addr); err != nil {
			return nil, err
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{cfg: cfg, log: cfg.Logger, began: time.Now(), masters: map[string]*master{}, guests: map[string]*master{}, next: rand.IntN(maxMasters)}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.reign = &reign{over: make(chan struct{})}
	f.mu.Lock()
	f.setMasters(nil)
	n := len(f.order)
	f.mu.Unlock()
	if n == 0 {
		f.Close()
		return nil, fmt.Errorf("no usable master address in %q", cfg.Masters)
	}
	f.wg.Go(f.watchdog)
	return f, nil
}

// Close ends every call and waits until nothing of the Follower runs any more.
func (f *Follower) Close() {
	f.stop()
	f.mu.Lock()
	for _, m := range f.masters {
		m.close()
	}
	for _, m := range f.guests {
		m.close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// Masters returns the gRPC addresses known now, in rotation order.
func (f *Follower) Masters() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	addrs := make([]string, len(f.order))
	for i, m := range f.order {
		addrs[i] = m.addr
	}
	return addrs
}

// Conn returns the connection to one master by address. An address that is not
// known as a master's gets a connection of its own until Close; nothing is
// believed of what it says, since it may belong to another cluster.
func (f *Follower) Conn(addr string) (grpc.ClientConnInterface, error) {
	if err := checkAddr(addr); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.masters[addr]; m != nil {
		return m, nil
	}
	if m := f.guests[addr]; m != nil {
		return m, nil
	}
	if f.ctx.Err() != nil {
		return nil, errClosed
	}
	if len(f.guests) >= maxMasters {
		return nil, fmt.Errorf("too many master addresses: %d", len(f.guests))
	}
	m, err := newMaster(f, addr)
	if err != nil {
		return nil, err
	}
	f.guests[addr] = m
	return m, nil
}

// setMasters makes the set of masters what was configured plus learned. The
// addresses given by the user stay: the advertised ones may not be reachable
// from here. Called with mu held.
func (f *Follower) setMasters(learned []string) {
	want := slices.Concat(f.cfg.Masters, learned)
	for addr, m := range f.masters {
		if !slices.Contains(want, addr) {
			delete(f.masters, addr)
			f.order = without(f.order, m)
			m.close()
		}
	}
	for _, addr := range want {
		if f.masters[addr] != nil || len(f.masters) >= maxMasters || checkAddr(addr) != nil {
			continue
		}
		if _, err := f.addMaster(addr); err != nil {
			f.log.Warn("master address not usable", "addr", addr, "err", err)
		}
	}
}

// addMaster connects to addr and watches it. Called with mu held.
func (f *Follower) addMaster(addr string) (*master, error) {
	if f.ctx.Err() != nil {
		return nil, errClosed
	}
	m, err := newMaster(f, addr)
	if err != nil {
		return nil, err
	}
	f.masters[addr] = m
	f.order = append(slices.Clip(f.order), m)
	f.wg.Go(m.watch)
	return m, nil
}

func without(ms []*master, m *master) []*master {
	return slices.DeleteFunc(slices.Clone(ms), func(o *master) bool { return o == m })
}

func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("master address %q: want host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("master address %q: want a port from 1 to 65535", addr)
	}
	return nil
}
