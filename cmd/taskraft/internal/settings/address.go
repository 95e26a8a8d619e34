package settings

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Listen checks an address to listen on: host:port, where an empty host means
// every interface. Port 0 lets the system choose.
func Listen(s string) error {
	_, _, err := hostPort(s, 0)
	return err
}

// Dial checks an address that others connect to: host:port with both present.
func Dial(s string) error {
	host, _, err := hostPort(s, 1)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return &Invalid{Problem: "not an address to connect to", Want: "host:port", Do: "name the host that others reach"}
	}
	return nil
}

// DialOrNone is Dial, or empty.
func DialOrNone(s string) error {
	if s == "" {
		return nil
	}
	return Dial(s)
}

func hostPort(s string, lowest int) (host string, port int, err error) {
	bad := func(problem string) error {
		return &Invalid{Problem: problem, Want: fmt.Sprintf("host:port with a port from %d to 65535", lowest)}
	}
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, bad("not an address")
	}
	port, err = strconv.Atoi(text)
	if err != nil || strings.TrimLeft(text, "0123456789") != "" {
		return "", 0, bad("the port is not a number")
	}
	if port < lowest || port > 65535 {
		return "", 0, bad("no such port")
	}
	if strings.ContainsAny(host, " /\x00") || strings.TrimSpace(host) != host {
		return "", 0, bad("not a host")
	}
	return host, port, nil
}

// IsLoopback tells whether a checked host:port stays on this machine.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// IsUnspecified tells whether a checked host:port means every interface.
func IsUnspecified(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
