package cli

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stateListen is TCP_LISTEN in /proc/net/tcp.
const stateListen = "0A"

// listener returns pid and name of the process that listens on a TCP port, as
// far as this user may see it; 0 if not.
func listener(port string) (pid int, name string) {
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0, ""
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listenInodes(table, fmt.Sprintf(":%04X", n), inodes)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		pid, _ = strconv.Atoi(filepath.Base(process))
		comm, _ := os.ReadFile(filepath.Join(process, "comm"))
		return pid, strings.TrimSpace(string(comm))
	}
	return 0, ""
}

// listenInodes adds the sockets of a /proc/net table that listen on the port, as
// their links in /proc/PID/fd read.
func listenInodes(table, port string, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], port) && fields[3] == stateListen {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
}
