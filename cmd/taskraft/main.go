package main

import (
	"context"
	"os"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	std := cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ()}
	os.Exit(cli.Run(context.Background(), os.Args[1:], std, version))
}
