//go:build unix && !linux

package main

import "errors"

// enter is for Linux only.
func enter() (status int, ran bool, reason error) { return 0, false, errors.ErrUnsupported }
