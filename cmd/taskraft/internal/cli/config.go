package cli

import (
	"strings"
	"time"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

// defaultMasters are the gRPC addresses of a cluster on one host.
const defaultMasters = "127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420"

// config is the values of all settings that have a variable and a key in the
// file. A command reads those of its own tables.
type config struct {
	file      string
	strictEnv bool

	output      string
	masters     []string
	callTimeout time.Duration
	logLevel    string
	logFormat   string

	master masterConfig
	worker workerConfig
}

// setting is a row with the variable and the key that follow from its path.
func setting(path string, r settings.Row) *settings.Row {
	r.Path = path
	if r.Env == "" {
		r.Env = "TASKRAFT_" + strings.ToUpper(strings.ReplaceAll(r.Flag, "-", "_"))
	}
	return &r
}

// fileRows say where the other settings may come from.
func (c *config) fileRows() settings.Table {
	return settings.Table{
		{
			Flag: "config", Env: "TASKRAFT_CONFIG", Arg: "FILE", Value: settings.Text(&c.file, nil),
			Doc: "YAML file with settings", Example: "taskraft.yaml",
		},
		{
			Flag: "strict-env", Env: "TASKRAFT_STRICT_ENV", Value: settings.Switch(&c.strictEnv),
			Doc: "refuse unknown TASKRAFT_ variables instead of warning",
		},
	}
}

func (c *config) outputRows() settings.Table {
	return settings.Table{setting("output", settings.Row{
		Flag: "output", Short: "o", Arg: strings.Join(show.Formats, "|"), Default: string(show.Tabular),
		Value: settings.Text(&c.output, settings.OneOf(show.Formats...)), Doc: "form of the data on stdout",
	})}
}

// mastersRows are for everything that talks to a cluster.
func (c *config) mastersRows() settings.Table {
	return settings.Table{setting("masters", settings.Row{
		Flag: "masters", Arg: "HOST:PORT,...", List: true, Default: defaultMasters,
		Value: settings.List(&c.masters, settings.Dial), Doc: "gRPC addresses of the masters; one that answers is enough",
		Example: "127.0.0.1:7400",
	})}
}

func (c *config) clientRows() settings.Table {
	return append(c.mastersRows(), setting("call_timeout", settings.Row{
		Flag: "call-timeout", Arg: "DURATION", Default: "30s",
		Value: settings.Duration(&c.callTimeout, 10*time.Millisecond, time.Hour),
		Doc:   "how long one call may take, with all its repeats",
	}))
}

func (c *config) logRows() settings.Table {
	return settings.Table{
		setting("log.level", settings.Row{
			Flag: "log-level", Arg: "debug|info|warn|error", Default: "info",
			Value: settings.Text(&c.logLevel, settings.OneOf("debug", "info", "warn", "error")), Doc: "the least level that is logged",
		}),
		setting("log.format", settings.Row{
			Flag: "log-format", Arg: "text|json", Default: "text",
			Value: settings.Text(&c.logFormat, settings.OneOf("text", "json")), Doc: "form of the log on stderr",
		}),
	}
}

// allRows are the settings of every command: what a file may contain and which
// variables there are.
func (c *config) allRows() settings.Table {
	var all settings.Table
	for _, t := range []settings.Table{
		c.fileRows(), c.outputRows(), c.clientRows(), c.logRows(), c.master.rows(), c.worker.rows(),
	} {
		all = append(all, t...)
	}
	return all
}

// otherVariables are TASKRAFT_ variables that are no settings: what a
// program gets from the worker that runs it.
var otherVariables = []string{
	"TASKRAFT_TASK", "TASKRAFT_FENCE", "TASKRAFT_ATTEMPT", "TASKRAFT_WORKER",
	"TASKRAFT_SCHEDULE", "TASKRAFT_FIRE_TIME", "TASKRAFT_LEADER", "TASKRAFT_LEADER_GRPC",
}
