package datadir

import "fmt"

// Kind groups errors by what the operator must do.
type Kind uint8

// The kinds of errors.
const (
	// Disk: the directory, its disk or its files are unusable or damaged. Exit code 10.
	Disk Kind = iota + 1
	// Identity: the files are sound but belong to another node, cluster or version. Exit code 13.
	Identity
)

// Error is why a data directory, or a file in it, cannot be used.
type Error struct {
	Kind Kind
	Path string // the directory or file concerned
	Err  error  // the problem and what to do about it
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the problem without the path.
func (e *Error) Unwrap() error { return e.Err }

func diskError(path, format string, args ...any) *Error {
	return &Error{Kind: Disk, Path: path, Err: fmt.Errorf(format, args...)}
}

func identityError(path, format string, args ...any) *Error {
	return &Error{Kind: Identity, Path: path, Err: fmt.Errorf(format, args...)}
}
