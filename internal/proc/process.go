package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Name string // for messages: n1, w2
	Path string // the program
	Args []string
	Dir  string    // working directory; default: ours
	Env  []string  // added to our environment
	Log  string    // file that stdout and stderr are appended to
	Out  io.Writer // takes them instead of Log
	Net  *os.File  // the network namespace that it runs in; default: ours
}

// Process is one started process. Its methods are safe for concurrent use.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	net  *os.File
	done chan struct{} // closed when the process has been waited for
}

// Start starts a process. The caller ends it with Kill or Stop.
func Start(spec Spec) (*Process, error) {
	out := spec.Out
	if out == nil {
		f, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("start %s: open its log: %w", spec.Name, err)
		}
		defer f.Close()
		out = f
	}
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Dir, cmd.Env = spec.Dir, append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attr()
	p := &Process{name: spec.Name, log: spec.Log, cmd: cmd, net: spec.Net, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run starts the process and waits for it on one thread: the kernel sends the
// parent-death signal when the thread that started the process ends.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := Within(p.net, p.cmd.Start)
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // the state is kept in cmd.ProcessState
	close(p.done)
}

// Name returns the process's name.
func (p *Process) Name() string { return p.name }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends sig to the process; one that has ended is not an error.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", sig, p.name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the process to end with SIGTERM and waits; after grace it kills it
// and returns an error.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not stop within %v and was killed", p.name, grace)
}

// Wait returns when the process has ended: nil for exit status 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", p.name, context.Cause(ctx))
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended: %v", p.name, p.cmd.ProcessState)
	}
	return nil
}

// Exit describes how the process ended, "" while it runs.
func (p *Process) Exit() string {
	if p.Running() {
		return ""
	}
	return p.cmd.ProcessState.String()
}

// LogTail returns at most the last n bytes of the process's output.
func (p *Process) LogTail(n int64) string { return tail(p.log, n) }

// tail returns at most the last n bytes of a file, or why it cannot be read.
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-n), n))
	if err != nil {
		return err.Error()
	}
	return string(data)
}
