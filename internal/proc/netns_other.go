//go:build unix && !linux

package proc

import (
	"errors"
	"os"
)

// NewNetwork is for Linux only.
func NewNetwork() (*os.File, error) { return nil, errors.ErrUnsupported }

// Within calls do; there are no network namespaces.
func Within(_ *os.File, do func() error) error { return do() }
