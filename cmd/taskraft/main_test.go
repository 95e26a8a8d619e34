package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/taskraft/taskraft/internal/proc"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"taskraft": main})
}

// TestScripts runs the program itself, as a user would: see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Not of those that the kernel gives to outgoing connections: any process
			// of the machine may have got one before the master listens.
			ports, err := proc.FreePorts(3)
			if err != nil {
				return err
			}
			for i, name := range []string{"GRPC", "RAFT", "TASKRAFT_HTTP_ADDR"} {
				env.Setenv(name, fmt.Sprintf("127.0.0.1:%d", ports[i]))
			}
			env.Setenv("TASKRAFT_MASTERS", env.Getenv("GRPC"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serving": serving, "until": until, "term": term, "devmasters": devMasters,
		},
	})
}

// exits CODE PROGRAM ARG… runs a program and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// term COMMAND sends SIGTERM to the background processes of `taskraft COMMAND`.
func term(ts *testscript.TestScript, _ bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		if slices.Contains(cmd.Args, args[0]) {
			ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		}
	}
}

// devmasters DIR waits until `taskraft dev --keep DIR` has chosen its ports, and
// has client commands use them.
func devMasters(ts *testscript.TestScript, _ bool, args []string) {
	var state struct {
		FirstPort int `json:"first_port"`
	}
	poll(ts, "dev.json is there", func() error {
		data, err := os.ReadFile(ts.MkAbs(args[0] + "/dev.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &state)
	})
	ts.Setenv("TASKRAFT_MASTERS", net.JoinHostPort("127.0.0.1", strconv.Itoa(state.FirstPort)))
}

// serving waits until a leader serves.
func serving(ts *testscript.TestScript, _ bool, _ []string) {
	poll(ts, "a leader serves", func() error { return ts.Exec("taskraft", "cluster", "status") })
}

// until TEXT PROGRAM ARG… runs a program until its output is TEXT.
func until(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[0], func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if got := ts.ReadFile("stdout"); got != args[0]+"\n" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

func poll(ts *testscript.TestScript, what string, f func() error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("not in time: %s: %v", what, err)
		}
	}
}
