package rpc

import (
	"encoding/json"

	"github.com/mattn/go-shellwords"

	"github.com/taskraft/taskraft/fsm/fsmpb"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// kindCommand is the kind whose payload names a program and its arguments.
const kindCommand = "command"

// commandLine turns a command line into what a worker runs: words split by the
// rules of a shell, of which none runs, here or at the worker.
func (v *violations) commandLine(field string, in *taskraftv1.TaskSpec, out *fsmpb.TaskSpec) {
	if k := in.GetKind(); k != "" && k != kindCommand || len(in.GetPayload()) > 0 || in.GetContentType() != "" {
		v.add(field, "it stands for kind, payload and content_type: give either it or them")
		return
	}
	words := shellwords.NewParser()
	words.ParseEnv, words.ParseBacktick, words.ParseComment = false, false, false
	argv, err := words.Parse(in.GetCmd())
	switch {
	case err != nil:
		v.add(field, "got %s: a quote or a bracket has no end", quoted(in.GetCmd()))
	case words.Position >= 0:
		v.add(field, "got %s: no shell runs, so that ; & | < > mean nothing: quote them, or say sh -c '…'", quoted(in.GetCmd()))
	case len(argv) == 0 || argv[0] == "":
		v.add(field, "got %s, want a program and its arguments", quoted(in.GetCmd()))
	default:
		// Strings always encode.
		out.Payload, _ = json.Marshal(map[string][]string{"argv": argv})
		out.Kind, out.ContentType = kindCommand, "application/json"
	}
}
