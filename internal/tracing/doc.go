// Package tracing is what masters, workers and clients have to agree on so that a
// task's life is one trace: how a span's context travels (W3C Trace Context as
// text, 25 bytes in the log), how spans and attributes are called, and which ids
// can be worked out again by whoever leads next.
//
//	client  taskraft.submit                       what the caller waits for
//	master  └ taskraft.accept                     to its entry's commit
//	        ├── taskraft.wait                     from the submit, or the last attempt, to the assignment
//	        └── taskraft.attempt                  to the end of the attempt, whatever that was
//	worker        └ taskraft.run                  the handler
//
// The table keeps the context of taskraft.accept. An attempt's span id is derived
// from the trace and the fence, so the master that sees the end of an attempt gives
// its span the id that the one that saw the beginning has told the worker.
//
// It imports OpenTelemetry's API and not its SDK: a program that does not trace
// pays for a lookup in a context.
package tracing
