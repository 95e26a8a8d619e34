package cli

import (
	"context"
	"net"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// pushConfig is the settings of a worker that is called.
type pushConfig struct {
	addr, advertise string
	insecure        bool

	row, adRow *settings.Row
}

func (p *pushConfig) rows() settings.Table {
	p.row = inWorker("push", settings.Row{
		Flag: "push", Arg: "HOST:PORT", Value: settings.Text(&p.addr, settings.Listen),
		Doc: "serve here and be called by the leader, instead of calling it", Example: "127.0.0.1:7500",
	})
	p.adRow = inWorker("advertise_push", settings.Row{
		Flag: "advertise-push", Arg: "HOST:PORT", Value: settings.Text(&p.advertise, settings.Dial),
		Doc: "the address that the masters dial (default --push)", Example: "w1.example:7500",
	})
	return settings.Table{p.row, p.adRow, inWorker("insecure_push", settings.Row{
		Flag: "insecure-push", Value: settings.Switch(&p.insecure),
		Doc: "listen in plain text on an address that other machines reach",
	})}
}

func (p *pushConfig) check(exitWhenDone bool) []settings.Problem {
	var out []settings.Problem
	add := func(r *settings.Row, problem, got, want, do string) {
		out = append(out, settings.Problem{Where: r.Where(), Problem: problem, Got: got, Want: want, Do: do})
	}
	host, port, _ := net.SplitHostPort(p.addr)
	switch {
	case p.addr == "" && p.advertise != "":
		add(p.adRow, "given without --push", quoted(p.advertise), "--push too", "add --push HOST:PORT")
	case p.addr == "":
	case exitWhenDone:
		add(p.row, "given together with --exit-when-done", quoted(p.addr), "one of them", "choose one")
	case !p.insecure && !settings.IsLoopback(p.addr):
		if host == "" {
			host = "0.0.0.0"
		}
		add(p.row, "refusing plaintext on "+host, quoted(p.addr), "a loopback address", "bind 127.0.0.1:"+port+", or say --insecure-push")
	case p.advertise == "" && settings.IsUnspecified(p.addr):
		add(p.adRow, "missing, and --push is every interface", quoted(p.addr), "the address that the masters reach", "say --advertise-push HOST:PORT")
	}
	return out
}

// advertised is the address that the masters dial.
func (p *pushConfig) advertised(l net.Listener) string {
	if p.advertise != "" {
		return p.advertise
	}
	return boundAddress(p.addr, l.Addr().String())
}

func (a *app) workerAddCommand() *cobra.Command {
	var addr string
	rows := settings.Table{{
		Flag: "push", Arg: "HOST:PORT", Required: true, Value: settings.Text(&addr, settings.Dial),
		Doc: "where the worker serves TaskExecutor", Example: "10.0.0.7:7500",
	}}
	return a.command(commandSpec{
		use: "add --push HOST:PORT [flags]", short: "Have the leader call a worker that serves at an address",
		long: `Put an address on the list, kept by the masters, of workers that the leader calls.
The worker there need not run yet. It stays on the list until taskraft worker remove
with the worker's id, or with the address. A worker that is run with --push registers
itself and leaves the list with its end; one that was added here stays.`,
		example: "  taskraft worker add --push 10.0.0.7:7500",
		rows:    concat(rows, a.dataRows()),
		run: func(ctx context.Context, _ []string) error {
			return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
				ctx, cancel := a.call(ctx)
				defer cancel()
				if err := c.AddPushWorker(ctx, addr); err != nil {
					return err
				}
				a.talk("the leader calls %s", addr)
				return nil
			})
		},
	})
}
