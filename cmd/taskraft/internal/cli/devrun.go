package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
	"github.com/taskraft/taskraft/internal/proc"
)

const (
	// devRestart is how long a process that ended stays away, so that one sees
	// the others go on without it.
	devRestart = 3 * time.Second
	// devQuick is a life so short that starting again hardly helps; after
	// devTries of them in a row the process is left alone.
	devQuick = 2 * time.Second
	devTries = 3
	// devReady is how long the first leader may take.
	devReady = 30 * time.Second
)

// child is one process of `taskraft dev`.
type child struct {
	name       string
	grpc, raft string // of masters
	http       string
	args       []string
	proc       *proc.Process
	started    time.Time
	quick      int // short lives in a row
}

// dev is a cluster in one terminal.
type dev struct {
	app     *app
	binary  string
	dir     string
	kept    bool
	slots   int
	queues  string
	masters []*child
	workers []*child
	addrs   []string
	out     *prefixes
	ended   chan *child
	watch   sync.WaitGroup
}

func (d *dev) run(ctx context.Context) error {
	c, err := client.New(client.Config{Masters: d.addrs})
	if err != nil {
		return err
	}
	defer c.Close()
	watchCtx, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer d.watch.Wait()
	defer endWatch()
	defer d.stop()
	for _, m := range d.masters {
		if err := d.start(watchCtx, m); err != nil {
			return err
		}
	}
	leader, err := d.firstLeader(ctx, c)
	if err != nil {
		return err
	}
	for _, w := range d.workers {
		if err := d.start(watchCtx, w); err != nil {
			return err
		}
	}
	d.summary(leader)
	d.supervise(ctx, watchCtx, c, leader)
	d.app.talk("\nstopping …")
	return nil
}

// start starts a child and watches it until watchCtx ends.
func (d *dev) start(watchCtx context.Context, ch *child) error {
	p, err := proc.Start(proc.Spec{Name: ch.name, Path: d.binary, Args: ch.args, Out: d.out.writer(ch.name)})
	if err != nil {
		return err
	}
	ch.proc, ch.started = p, time.Now()
	d.watch.Go(func() {
		select {
		case <-p.Done():
		case <-watchCtx.Done():
			return
		}
		select {
		case d.ended <- ch:
		case <-watchCtx.Done():
		}
	})
	return nil
}

// firstLeader waits until somebody leads.
func (d *dev) firstLeader(ctx context.Context, c *client.Client) (client.Leader, error) {
	ctx, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	found := make(chan client.Leader, 1)
	go func() {
		// A linearizable read succeeds once a leader serves.
		if _, err := c.Queues(ctx); err == nil {
			l, _ := c.Leader(ctx)
			found <- l
		}
	}()
	select {
	case l := <-found:
		return l, nil
	case ch := <-d.ended:
		return client.Leader{}, fail(exitError, "the same again; the lines above say why it ended", "%s ended while starting: %s", ch.name, ch.proc.Exit())
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errInterrupted) {
			return client.Leader{}, quietly(exitInterrupted)
		}
		return client.Leader{}, fail(exitNoLeader, "taskraft cluster status --masters "+strings.Join(d.addrs, ","), "no leader within %s", devReady)
	}
}

// masterAt returns the name of the master with a gRPC address.
func (d *dev) masterAt(addr string) string {
	for _, m := range d.masters {
		if m.grpc == addr {
			return m.name
		}
	}
	return ""
}

// summary says where everything is and what to try.
func (d *dev) summary(leader client.Leader) {
	out := d.app.Out
	data := d.dir
	if !d.kept {
		data += " (removed at the end; --keep DIR keeps it)"
	}
	fmt.Fprintf(out, "\n%s and %s are up, data in %s\n\n", plural(len(d.masters), "master"), plural(len(d.workers), "worker"), data)
	printer := &show.Printer{Out: out, Format: show.Tabular, Color: d.app.color(out)}
	list := show.NewList(printer, "processes", nil, []show.Column[*child]{
		{Head: "NAME", Cell: func(c *child) string { return c.name }},
		{Head: "PID", Right: true, Cell: func(c *child) string { return fmt.Sprint(c.proc.PID()) }},
		{Head: "WHAT", Cell: func(c *child) string {
			switch {
			case c.grpc == "":
				return "worker, " + plural(d.slots, "slot") + ", queue " + d.queues
			case c.grpc == leader.Addr:
				return "master, leader"
			}
			return "master"
		}},
		{Head: "GRPC", Cell: func(c *child) string { return c.grpc }},
		{Head: "RAFT", Cell: func(c *child) string { return c.raft }},
		{Head: "HTTP", Cell: func(c *child) string {
			if c.http == "" {
				return ""
			}
			return "http://" + c.http
		}},
	})
	leaderPID := 0
	for _, ch := range slices.Concat(d.masters, d.workers) {
		_ = list.Add(ch) // the terminal is gone: nothing to tell it
		if ch.grpc != "" && ch.grpc == leader.Addr {
			leaderPID = ch.proc.PID()
		}
	}
	_ = list.Close()
	flag, then := "", "the others go on"
	if len(d.masters) == 1 {
		then = "it comes back with all it had"
	}
	if !slices.Contains(strings.Split(defaultMasters, ","), d.addrs[0]) {
		flag = " --masters " + d.addrs[0]
	}
	fmt.Fprintf(out, `
Try in another terminal:
  taskraft submit%s --wait -- echo hello
  taskraft cluster status%s
  kill -9 %d        # the leader: %s

Ctrl-C stops everything.
`, flag, flag, leaderPID, then)
}

// supervise starts again what ends and tells who leads, until ctx ends.
func (d *dev) supervise(ctx, watchCtx context.Context, c *client.Client, leader client.Leader) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	restart := make(chan *child)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now, err := c.Leader(ctx)
			if err == nil && now.Addr != "" && now.Term > leader.Term {
				d.app.talk("%s leads now, in term %d", d.masterAt(now.Addr), now.Term)
				leader = now
			}
		case ch := <-d.ended:
			if !d.tellEnd(ch) {
				continue
			}
			timer := time.AfterFunc(devRestart, func() {
				select {
				case restart <- ch:
				case <-watchCtx.Done():
				}
			})
			defer timer.Stop()
		case ch := <-restart:
			if err := d.start(watchCtx, ch); err != nil {
				d.app.talk("%s", err)
				continue
			}
			d.app.talk("%s is started again, pid %d", ch.name, ch.proc.PID())
		}
	}
}

// tellEnd says that a child ended, and tells whether it is to be started again.
func (d *dev) tellEnd(ch *child) bool {
	ch.quick++
	if time.Since(ch.started) > devQuick {
		ch.quick = 0
	}
	if ch.quick >= devTries {
		d.app.talk("%s (pid %d) ended: %s; %d times at once: left alone", ch.name, ch.proc.PID(), ch.proc.Exit(), ch.quick)
		return false
	}
	d.app.talk("%s (pid %d) ended: %s; starting it again in %s", ch.name, ch.proc.PID(), ch.proc.Exit(), devRestart)
	return true
}

// stop ends workers first, then masters.
func (d *dev) stop() {
	for _, group := range [][]*child{d.workers, d.masters} {
		var wg sync.WaitGroup
		for _, ch := range group {
			if ch.proc == nil || !ch.proc.Running() {
				continue
			}
			wg.Go(func() {
				if err := ch.proc.Stop(2 * devStop); err != nil {
					d.app.talk("%s", err)
				}
			})
		}
		wg.Wait()
	}
}

// prefixes writes whole lines of several writers to one, each with its name.
type prefixes struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *prefixes) writer(name string) io.Writer { return &prefixed{to: p, name: name} }

type prefixed struct {
	to   *prefixes
	name string
	rest []byte
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.rest = append(p.rest, data...)
	for {
		line, after, found := bytes.Cut(p.rest, []byte("\n"))
		if !found {
			return len(data), nil
		}
		p.to.mu.Lock()
		_, err := fmt.Fprintf(p.to.w, "%s | %s\n", p.name, line)
		p.to.mu.Unlock()
		p.rest = bytes.Clone(after)
		if err != nil {
			return len(data), err
		}
	}
}
