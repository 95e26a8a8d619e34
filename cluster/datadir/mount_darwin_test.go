package datadir

import "testing"

func mountReadOnly(t *testing.T, _ string) { t.Skip("no memory file system to mount here") }
