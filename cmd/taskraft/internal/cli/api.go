package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

// apiRequest is a request to the JSON API as the command line gives it.
type apiRequest struct {
	http    string
	data    string
	headers []string
	include bool
}

func (a *app) apiCommand() *cobra.Command {
	req := &apiRequest{}
	return a.command(commandSpec{
		use:   "api METHOD PATH [flags]",
		short: "Make a request to the JSON API of the leading master",
		long: `Make a request to the JSON API and print the body of the answer. The paths are those
of /openapi.json. A refusal is printed like any answer; the exit code tells its kind.`,
		example: `  taskraft api GET /v1/queues
  taskraft api POST /tasks -d '{"cmd": "touch test.txt"}' -H 'Prefer: wait=30'`,
		rows: concat(settings.Table{
			{Flag: "data", Short: "d", Arg: "JSON|@FILE|-", Value: settings.Text(&req.data, nil), Doc: "the body, or where to read it from"},
			{Flag: "header", Short: "H", Arg: "NAME:VALUE", List: true, Whole: true, Value: settings.List(&req.headers, checkHeader), Doc: "a header of the request; may be given again"},
			{Flag: "include", Short: "i", Value: settings.Switch(&req.include), Doc: "print status and headers first"},
			{Flag: "http", Arg: "HOST:PORT", Value: settings.Text(&req.http, settings.Dial), Doc: "ask this master, without asking --masters who leads", Example: "127.0.0.1:7402"},
		}, a.config.clientRows()),
		args: func(_ *cobra.Command, args []string) []settings.Problem {
			if len(args) != 2 || !strings.HasPrefix(args[1], "/") {
				return missing("METHOD PATH", "taskraft api GET /v1/queues")
			}
			return nil
		},
		run: func(ctx context.Context, args []string) error { return a.runAPI(ctx, req, args[0], args[1]) },
	})
}

func checkHeader(s string) error {
	if name, _, ok := strings.Cut(s, ":"); !ok || strings.TrimSpace(name) == "" {
		return &settings.Invalid{Problem: "not a header", Want: "NAME: VALUE"}
	}
	return nil
}

func (a *app) runAPI(ctx context.Context, req *apiRequest, method, path string) error {
	body, err := a.apiBody(req.data)
	if err != nil {
		return err
	}
	if req.http != "" {
		ctx, stop := interruptible(ctx)
		defer stop()
		return a.askAPI(ctx, req, method, path, body)
	}
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		call, cancel := a.call(ctx)
		defer cancel()
		leader, err := c.Leader(call)
		if err != nil {
			return err
		}
		if leader.HTTP == "" {
			return fail(exitNoLeader, "taskraft cluster status, or --http HOST:PORT", "nobody is known to lead")
		}
		req.http = leader.HTTP
		return a.askAPI(ctx, req, method, path, body)
	})
}

// apiBody reads what -d names.
func (a *app) apiBody(data string) ([]byte, error) {
	switch name, file := strings.CutPrefix(data, "@"); {
	case data == "-":
		return io.ReadAll(a.In)
	case file:
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fail(exitUsage, "", "--data: %w", err)
		}
		return b, nil
	}
	return []byte(data), nil
}

func (a *app) askAPI(ctx context.Context, req *apiRequest, method, path string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), "http://"+req.http+path, bytes.NewReader(body))
	if err != nil {
		return usage(err.Error(), "for example taskraft api GET /v1/queues")
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range req.headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fail(exitNoLeader, "taskraft cluster status", "%s %s: %w", r.Method, req.http, err)
	}
	defer resp.Body.Close()
	if req.include {
		fmt.Fprintf(a.Out, "%s %s\n", resp.Proto, resp.Status)
		_ = resp.Header.Write(a.Out) // the terminal is gone: nothing to tell it
		fmt.Fprintln(a.Out)
	}
	if resp.StatusCode < 300 {
		_, err = io.Copy(a.Out, resp.Body)
		fmt.Fprintln(a.Out)
		return err
	}
	return a.apiRefusal(resp)
}

// apiRefusal prints a refusal and finds its exit code.
func (a *app) apiRefusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Out, strings.TrimSpace(string(text)))
	var p struct{ Reason, Detail string }
	_ = json.Unmarshal(text, &p) // an outcome has neither
	code := exitError
	if known, ok := reasonExits[p.Reason]; ok {
		code = known.code
	} else if c, ok := statusExits[resp.StatusCode]; ok {
		code = c
	}
	return fail(code, "", "%s", strings.TrimSpace(resp.Status+" "+p.Detail))
}

var statusExits = map[int]int{
	http.StatusBadRequest: exitUsage, http.StatusNotFound: exitNotFound, http.StatusMethodNotAllowed: exitUsage,
	http.StatusConflict: exitConflict, http.StatusUnprocessableEntity: exitConflict,
	http.StatusServiceUnavailable: exitNoLeader, http.StatusGatewayTimeout: exitDeadline,
}
