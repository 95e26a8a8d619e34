package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

// IO is what a run of the program gets from outside.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string
}

// app is one run of the program.
type app struct {
	IO
	version string
	args    []string
	config  config
}

// Run runs the program with args and returns its exit code.
func Run(ctx context.Context, args []string, std IO, version string) int {
	a := &app{IO: std, version: version, args: args}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	return report(std.Err, root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	var showVersion, asJSON bool
	root := a.group("taskraft", "A task master cluster: masters, workers, client in one program",
		a.masterCommand(), a.workerCommand(), a.submitCommand(), a.taskCommand(), a.batchCommand(), a.broadcastCommand(), a.deadCommand(), a.queueCommand(), a.scheduleCommand(), a.clusterCommand(), a.snapshotCommand(), a.eventsCommand(),
		a.topCommand(), a.devCommand(), a.benchCommand(), a.drillCommand(), a.doctorCommand(), a.debugCommand(), a.apiCommand(), a.configCommand(), a.versionCommand())
	root.Long = `Taskraft hands out tasks to workers from three (or five) masters that keep one
replicated table. Any master, worker or disk may die: no accepted task is lost and
no completion is recorded twice.

Start with:
  taskraft dev --masters 3 --workers 2        a whole cluster in this terminal
  taskraft submit --wait -- echo hello        in another one`
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.Flags().BoolVar(&asJSON, "json", false, "with --version: as JSON")
	sub := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if showVersion {
			if asJSON {
				a.config.output = string(show.JSON)
			}
			return a.printVersion()
		}
		return sub(cmd, args)
	}
	root.SilenceErrors, root.SilenceUsage = true, true
	a.config.fileRows().Bind(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err.Error(), "see "+cmd.CommandPath()+" --help")
	})
	root.SetUsageTemplate(usageTemplate)
	return root
}

// group is a command that only has subcommands.
func (a *app) group(name, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.ArbitraryArgs,
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if bad := settings.UnknownFlags(cmd.Flags(), a.args); len(bad) > 0 {
				return &usageError{bad}
			}
			if len(args) == 0 {
				fmt.Fprint(a.Err, cmd.UsageString())
				return quietly(exitUsage)
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	p := settings.Problem{Where: cmd.CommandPath(), Problem: fmt.Sprintf("unknown command %q", name), Do: "see " + cmd.CommandPath() + " --help"}
	if near := settings.Nearest(name, slices.Values(names)); near != "" {
		p.Problem += " (did you mean " + near + "?)"
	}
	return &usageError{[]settings.Problem{p}}
}

// commandSpec is one command that does something.
type commandSpec struct {
	use, short, long, example string
	rows                      settings.Table
	// args checks the arguments; nil allows none.
	args func(cmd *cobra.Command, args []string) []settings.Problem
	// check looks at values together, after each was checked alone.
	check func() []settings.Problem
	run   func(ctx context.Context, args []string) error
}

func (a *app) command(c commandSpec) *cobra.Command {
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Example: c.example, Args: cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		FParseErrWhitelist:    cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.prepare(cmd, args, c); err != nil {
				return err
			}
			return c.run(cmd.Context(), args)
		},
	}
	cmd.Flags().SortFlags = false
	c.rows.Bind(cmd.Flags())
	for _, r := range c.rows {
		if words := r.Words(); words != nil && cmd.Flags().Lookup(r.Flag) != nil {
			// An error only says that another row has completed the flag already.
			_ = cmd.RegisterFlagCompletionFunc(r.Flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	return cmd
}

// prepare resolves every setting and reports everything that is wrong at once,
// before the command opens, binds or writes anything.
func (a *app) prepare(cmd *cobra.Command, args []string, c commandSpec) error {
	in, problems := a.input(cmd)
	problems = append(problems, c.rows.Resolve(in)...)
	if c.check != nil && len(problems) == 0 {
		problems = c.check()
	} else if c.check != nil {
		problems = appendNew(problems, c.check())
	}
	switch {
	case c.args != nil:
		problems = append(problems, c.args(cmd, args)...)
	case len(args) > 0:
		problems = append(problems, settings.Problem{
			Where: cmd.CommandPath(), Problem: "takes no arguments", Got: fmt.Sprintf("%q", args), Do: "see " + cmd.CommandPath() + " --help",
		})
	}
	if len(problems) > 0 {
		return &usageError{problems}
	}
	return nil
}

// appendNew adds problems of settings that have none yet: a wrong value alone is
// not told twice.
func appendNew(have, more []settings.Problem) []settings.Problem {
	for _, p := range more {
		if !slices.ContainsFunc(have, func(h settings.Problem) bool { return h.Where == p.Where }) {
			have = append(have, p)
		}
	}
	return have
}

// input reads the file and the environment for a command.
func (a *app) input(cmd *cobra.Command) (settings.Input, []settings.Problem) {
	in := settings.Input{Flags: cmd.Flags(), Args: a.args, Env: settings.Environ(a.Env)}
	problems := settings.UnknownFlags(cmd.Flags(), a.args)
	problems = append(problems, a.config.fileRows().Resolve(in)...)
	all := new(config).allRows()
	unknown := settings.UnknownEnv(in.Env, all, otherVariables)
	if a.config.strictEnv {
		problems = append(problems, unknown...)
	} else {
		for _, p := range unknown {
			a.warn("%s", p)
		}
	}
	if a.config.file == "" {
		return in, problems
	}
	file, bad := settings.ReadFile(a.config.file, all)
	if file != nil {
		for _, w := range file.Warnings {
			a.warn("%s", w)
		}
	}
	in.File = file
	return in, append(problems, bad...)
}

// talk writes a line for the user to stderr.
func (a *app) talk(format string, args ...any) {
	fmt.Fprintf(a.Err, format+"\n", args...)
}

func (a *app) warn(format string, args ...any) {
	a.talk("taskraft: warning: "+format, args...)
}

// printer prints data as -o says.
func (a *app) printer() *show.Printer {
	return &show.Printer{Out: a.Out, Format: show.Format(a.config.output), Color: a.color(a.Out)}
}

// color tells whether w is a terminal that may be coloured.
func (a *app) color(w io.Writer) bool {
	return a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(w)
}

// env returns a variable of the environment, the last one of that name.
func (a *app) env(name string) (value string) {
	for _, kv := range a.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// concat joins tables in the order of their help text.
func concat(tables ...settings.Table) settings.Table { return slices.Concat(tables...) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help tells more.{{end}}
`
