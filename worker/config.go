package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// maxSlots is the table's limit per session.
const maxSlots = 4096

// Queue is one queue to take tasks from.
type Queue struct {
	Name   string
	Weight int // 0 means 1
}

// Settled tells how a master answered one attempt's report.
type Settled struct {
	Task, Fence uint64
	Attempt     int
	Queue, Kind string
	Verb        Verb
	Outcome     taskraftv1.Outcome
}

// Verb is what was reported of an attempt.
type Verb string

// The verbs.
const (
	VerbComplete Verb = "complete"
	VerbFail     Verb = "fail"
	VerbRelease  Verb = "release" // handed back, no attempt counted
)

// Config says what to run, where, and how.
type Config struct {
	// Masters are gRPC addresses as host:port; hosts may be DNS names. One
	// reachable master is enough, the others are learned from it.
	Masters []string
	// ID names the worker. A new process with the same id takes the old one's
	// place when that one is gone. Empty: the host name and a random suffix.
	ID string
	// Queues to take tasks from; none means the queue "default".
	Queues []Queue
	// Slots is how many handlers run at once, at most 4096; 0: one per CPU.
	Slots int
	// Labels describe the worker.
	Labels map[string]string

	// Handlers by kind; Default takes the kinds that are not listed. A task whose
	// kind has no handler fails, to be tried again elsewhere.
	Handlers map[string]Handler
	Default  Handler
	// Middleware stands around every handler, the first outermost.
	Middleware []Middleware

	// TTL is how long the cluster waits for a silent worker before its tasks go
	// to others; 0: the masters' default (10 s).
	TTL time.Duration
	// DrainTimeout is how long running handlers may go on when Run is asked to
	// end. Then their contexts are cancelled, and what still does not return
	// within StopGrace is handed back regardless.
	DrainTimeout time.Duration
	StopGrace    time.Duration
	// Push makes the leader call this worker; nil: the worker holds a stream to it.
	Push *Push
	// ExitWhenDone ends Run when its queues have nothing unfinished, after at
	// least one task was seen.
	ExitWhenDone bool

	// MaxResult is the masters' limit of a result in bytes, at most 1 MiB; 0: their
	// default, 64 KiB. A larger result makes its task DEAD.
	MaxResult int

	// OnOutcome is called for every report that a master has answered, one call at
	// a time. It must be quick: it holds up the stream.
	OnOutcome func(Settled)

	// TracerProvider makes a span for every execution, which handlers find in their
	// context. Nil: it makes none, and the context of a traced task's handler names
	// its attempt, so that spans which the handler begins belong to the same trace.
	TracerProvider trace.TracerProvider

	// Version is shown to operators.
	Version     string
	DialOptions []grpc.DialOption
	Logger      *slog.Logger // nil: slog.Default()
}

// DefaultConfig returns a worker for the queue "default" of a local cluster that
// drains within 30 s.
func DefaultConfig() Config {
	return Config{
		Masters:      []string{"127.0.0.1:7400", "127.0.0.1:7410", "127.0.0.1:7420"},
		Queues:       []Queue{{Name: "default"}},
		Slots:        runtime.GOMAXPROCS(0),
		DrainTimeout: 30 * time.Second,
		StopGrace:    10 * time.Second,
	}
}

// complete fills in what has a default and checks the rest. All problems are
// returned at once.
func (c *Config) complete(boot string) error {
	d := DefaultConfig()
	if c.ID == "" {
		c.ID = hostID(boot)
	}
	if len(c.Queues) == 0 {
		c.Queues = d.Queues
	}
	if c.Slots == 0 {
		c.Slots = d.Slots
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = d.DrainTimeout
	}
	if c.StopGrace == 0 {
		c.StopGrace = d.StopGrace
	}
	if c.MaxResult == 0 {
		c.MaxResult = 64 << 10
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var errs []error
	if len(c.Handlers) == 0 && c.Default == nil {
		errs = append(errs, errors.New("no handler given"))
	}
	for kind, h := range c.Handlers {
		if h == nil {
			errs = append(errs, fmt.Errorf("handler for kind %q is nil", kind))
		}
	}
	if slices.ContainsFunc(c.Middleware, func(m Middleware) bool { return m == nil }) {
		errs = append(errs, errors.New("a middleware is nil"))
	}
	if c.Push != nil {
		errs = append(errs, c.Push.check(c))
	}
	if c.Slots < 1 || c.Slots > maxSlots {
		errs = append(errs, fmt.Errorf("slots: got %d, want 1 to %d", c.Slots, maxSlots))
	}
	if c.MaxResult < 1 || c.MaxResult > 1<<20 {
		errs = append(errs, fmt.Errorf("max result: got %d bytes, want 1 to %d", c.MaxResult, 1<<20))
	}
	if c.TTL < 0 || c.DrainTimeout < 0 || c.StopGrace < 0 {
		errs = append(errs, fmt.Errorf("negative duration: ttl %s, drain timeout %s, stop grace %s", c.TTL, c.DrainTimeout, c.StopGrace))
	}
	for _, q := range c.Queues {
		if q.Weight < 0 || q.Weight > 1000 {
			errs = append(errs, fmt.Errorf("queue %s: got weight %d, want 1 to 1000", q.Name, q.Weight))
		}
	}
	for key, value := range c.Labels {
		if strings.ToValidUTF8(key+value, "") != key+value {
			errs = append(errs, fmt.Errorf("label %q=%q: want UTF-8", key, value))
		}
	}
	if errs == nil {
		c.surround()
	}
	return errors.Join(errs...)
}

// surround puts the middleware around the handlers.
func (c *Config) surround() {
	if len(c.Middleware) == 0 {
		return
	}
	handlers := make(map[string]Handler, len(c.Handlers))
	for kind, h := range c.Handlers {
		handlers[kind] = around(h, c.Middleware)
	}
	c.Handlers = handlers
	if c.Default != nil {
		c.Default = around(c.Default, c.Middleware)
	}
}

// hostID makes a worker id from the host's name and the boot id.
func hostID(boot string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	host = strings.Trim(host[:min(len(host), 40)], "-")
	if host == "" {
		host = "worker"
	}
	return host + "-" + boot[:8]
}
