package proc

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below the range from which Linux takes the source ports of outgoing
// connections, so that the port of a killed master is still free at its restart.
const (
	lowestPort  = 15_000
	highestPort = 32_000
)

// FreePorts returns n different loopback ports on which nothing listens now.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	next := lowestPort + rand.IntN(highestPort-lowestPort)
	for range highestPort - lowestPort {
		if len(ports) == n {
			return ports, nil
		}
		if free(next) {
			ports = append(ports, next)
		}
		if next++; next >= highestPort {
			next = lowestPort
		}
	}
	return nil, fmt.Errorf("find %d free ports from %d to %d: only %d", n, lowestPort, highestPort, len(ports))
}

func free(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
