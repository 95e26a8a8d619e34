package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what `taskraft version -o json` says.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return a.command(commandSpec{
		use: "version [-o json]", short: "Print the version", rows: a.config.outputRows(),
		run: func(context.Context, []string) error { return a.printVersion() },
	})
}

func (a *app) printVersion() error {
	b := build{Version: a.version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if a.config.output == "" {
		a.config.output = "table"
	}
	return a.printer().Object(b, b.Version, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "taskraft %s %s %s\n", b.Version, b.Go, b.Platform)
		return err
	})
}
