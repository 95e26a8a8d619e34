package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen binds a TCP address, or fails with exit code 12 and what to do.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, bindFailure(flag, addr, err)
	}
	return l, nil
}

// bindFailure says why addr cannot be bound and who has it.
func bindFailure(flag, addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	if host == "" {
		addr = "0.0.0.0:" + port
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		holder := ""
		if pid, name := listener(port); pid != 0 {
			holder = fmt.Sprintf(" by pid %d (%s)", pid, name)
		}
		return fail(exitBind, fmt.Sprintf("another port with --%s, or stop that process", flag),
			"--%s: address in use %s%s", flag, addr, holder)
	case errors.Is(err, syscall.EACCES):
		return fail(exitBind, "a port from 1024 up, or `setcap cap_net_bind_service=+ep` on the binary",
			"--%s: no permission to bind %s: ports below 1024 need CAP_NET_BIND_SERVICE", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fail(exitBind, "an address of this machine, as `ip addr` lists them",
			"--%s: %s is no address of this machine", flag, addr)
	}
	return fail(exitBind, "another address with --"+flag, "--%s: bind %s: %w", flag, addr, err)
}
