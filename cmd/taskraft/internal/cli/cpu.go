package cli

import (
	"syscall"
	"time"
)

// cpuTimes is processor time used, user and system together.
type cpuTimes struct{ own, masters time.Duration }

func (c cpuTimes) since(before cpuTimes) cpuTimes {
	return cpuTimes{c.own - before.own, c.masters - before.masters}
}

// cpuTimes asks for this process and the started masters.
func (b *benchRun) cpuTimes() cpuTimes {
	var own syscall.Rusage
	var c cpuTimes
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) == nil {
		c.own = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	}
	if b.cluster == nil {
		return c
	}
	for _, m := range b.cluster.Masters() {
		c.masters += m.Process().Usage().CPU
	}
	return c
}
