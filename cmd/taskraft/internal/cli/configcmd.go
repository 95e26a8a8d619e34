package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

func (a *app) configCommand() *cobra.Command {
	return a.group("config", "Show and check settings", a.configShowCommand(), a.configValidateCommand())
}

// settingView is one setting as `config show` prints it.
type settingView struct {
	Path   string `json:"path"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Flag   string `json:"flag"`
	Env    string `json:"env"`
	Doc    string `json:"doc"`
}

// optional are all settings that a file may hold; none is required, so that a
// file for one command need not hold another's.
func (c *config) optional() settings.Table {
	var rows settings.Table
	for _, r := range c.allRows() {
		if r.Path == "" {
			continue
		}
		r.Required = false
		rows = append(rows, r)
	}
	return rows
}

func (a *app) configShowCommand() *cobra.Command {
	var origin bool
	rows := a.config.optional()
	own := settings.Table{{Flag: "origin", Value: settings.Switch(&origin), Doc: "say where each value comes from"}}
	return a.command(commandSpec{
		use: "show [flags]", short: "Print every setting with its value",
		long:    "Print every setting as flags, environment and file give it: a flag counts before a variable, a variable before the file.",
		example: "  taskraft config show --origin --config taskraft.yaml",
		rows:    concat(own, rows),
		run: func(context.Context, []string) error {
			type S = settingView
			columns := []show.Column[S]{
				{Head: "SETTING", Cell: func(s S) string { return s.Path }},
				{Head: "VALUE", Cell: func(s S) string { return s.Value }},
				{Head: "FLAG", Wide: true, Cell: func(s S) string { return "--" + s.Flag }},
				{Head: "VARIABLE", Wide: true, Cell: func(s S) string { return s.Env }},
			}
			if origin {
				columns = append(columns, show.Column[S]{Head: "ORIGIN", Cell: func(s S) string { return s.Origin }})
			}
			list := show.NewList(a.printer(), "settings", func(s S) string { return s.Path }, columns)
			for _, r := range rows {
				if err := list.Add(S{r.Path, r.Value.String(), r.Origin().String(), r.Flag, r.Env, r.Doc}); err != nil {
					return err
				}
			}
			return list.Close()
		},
	})
}

func (a *app) configValidateCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "validate [FILE] [flags]", short: "Check a configuration file",
		long:    "Check a configuration file: its keys, and every value by itself. `taskraft master --config FILE` checks values together.",
		example: "  taskraft config validate taskraft.yaml",
		args: func(cmd *cobra.Command, args []string) []settings.Problem {
			name := a.config.file
			if len(args) > 0 {
				name = args[0]
			}
			if name == "" || len(args) > 1 {
				return missing("FILE", "taskraft config validate taskraft.yaml")
			}
			rows := new(config).optional()
			file, bad := settings.ReadFile(name, rows)
			if len(args) == 0 {
				bad = nil // every command has told the faults of --config itself
			} else if file != nil {
				for _, w := range file.Warnings {
					a.warn("%s", w)
				}
			}
			return append(bad, rows.Resolve(settings.Input{Flags: cmd.Flags(), File: file})...)
		},
		run: func(_ context.Context, args []string) error {
			_, err := fmt.Fprintln(a.Out, strings.Join(append(args, a.config.file)[:1], "")+": ok")
			return err
		},
	})
}
