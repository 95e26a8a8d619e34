package badinput

// Row is one row of the table.
type Row struct {
	ID    string // a letter for the section, then a number; never reused
	Input string
	// Tests are the packages, by their folders, whose tests must name the row;
	// others may.
	Tests []string
	// Waits is what has to be built before the row, or the rest of it, can be
	// tested; empty when nothing is missing.
	Waits string
}

// The packages that test rows.
const (
	cli     = "cmd/taskraft/internal/cli"
	program = "cmd/taskraft"
)

// Rows is the whole table.
var Rows = []Row{
	// A: flags, env, config (start-up)
	{ID: "A01", Input: "unknown flag --dta-dir", Tests: []string{cli}},
	{ID: "A02", Input: "unknown key in config file", Tests: []string{cli}},
	{ID: "A03", Input: "same setting in flag, env and file with different values", Tests: []string{cli}},
	{ID: "A04", Input: "duplicate YAML key / duplicate flag with different values", Tests: []string{cli}},
	{ID: "A05", Input: "config file missing / is a directory / unreadable", Tests: []string{cli}},
	{ID: "A06", Input: "config 0 bytes; only BOM; CRLF; UTF-16", Tests: []string{cli}},
	{ID: "A08", Input: "--grpc-addr :99999, :-1, foo, 1.2.3.4, [::1, empty", Tests: []string{"cluster", cli}},
	{ID: "A09", Input: "--grpc-addr = port in use", Tests: []string{program, cli}},
	{ID: "A10", Input: "privileged port without cap", Tests: []string{cli}},
	{ID: "A11", Input: "advertise address 0.0.0.0 / unresolvable / loopback with remote peers", Tests: []string{"cluster", cli}},
	{ID: "A12", Input: "non-loopback listen without TLS/auth", Tests: []string{cli}},
	{ID: "A13", Input: "--name \"\", 300 chars, ../x, spaces, NUL, emoji", Tests: []string{"cluster", cli}},
	{ID: "A14", Input: "--peers lists itself with another address; duplicate ids; duplicate addresses; even count (2, 4)", Tests: []string{"cluster", cli}},
	{ID: "A15", Input: "--bootstrap together with --join", Tests: []string{"e2e"}},
	{ID: "A16", Input: "duration 10 (no unit), -5s, 0, 1e9h, NaN, 5 s, １０s (full-width)", Tests: []string{"cluster", cli}},
	{ID: "A17", Input: "heartbeat 10 ms; election < heartbeat; lease > heartbeat", Waits: "raft timers one by one (--raft-timing keeps them in order)"},
	{ID: "A18", Input: "size -1, 1TB over RAM, 10Q, 0x10", Tests: []string{"cluster", cli}},
	{ID: "A20", Input: "log level verbos, log format xml", Tests: []string{cli}},
	{ID: "A21", Input: "log file in missing dir / a FIFO without reader / disk full", Waits: "log files"},
	{ID: "A22", Input: "env TASKRAFT_DATA_DIR=\"\" (set but empty)", Tests: []string{cli}},
	{ID: "A23", Input: "env typo TASKRAFT_DATADIR", Tests: []string{cli}},
	{ID: "A24", Input: "secret passed as flag --token abc", Waits: "tokens"},
	{ID: "A25", Input: "token file world-readable / empty / trailing newline / 10 MiB", Waits: "tokens"},
	{ID: "A26", Input: "--cron-timezone Mars/Base", Tests: []string{cli, "cluster/cron", "rpc"}},
	{ID: "A27", Input: "GOMEMLIMIT=abc, GOMAXPROCS=0", Tests: []string{program}},
	{ID: "A28", Input: "RLIMIT_NOFILE 64, no /tmp, HOME unset, TZ=:bad, LANG=C", Tests: []string{program}},
	{ID: "A30", Input: "a worker that runs commands as root", Waits: "worker --user"},
	{ID: "A31", Input: "taskraft with no args / --help / --version --json", Tests: []string{cli}},
	{ID: "A32", Input: "reload (SIGHUP) with a bad file, or changing an immutable field (node-id, cluster-id, data-dir)", Waits: "reload"},

	// B: data dir and disk
	{ID: "B01", Input: "data dir missing", Tests: []string{"cluster/datadir"}},
	{ID: "B02", Input: "data dir is a file / symlink loop / on read-only fs / NFS / overlay/tmpfs", Tests: []string{"cluster/datadir", program}},
	{ID: "B03", Input: "not owner; group/other writable", Tests: []string{"cluster/datadir"}},
	{ID: "B05", Input: "raft.db deleted but identity.json present", Tests: []string{"cluster/datadir", "cluster/logstore"}},
	{ID: "B06", Input: "identity.json deleted but raft.db present", Tests: []string{"cluster/datadir", "cluster/logstore"}},
	{ID: "B07", Input: "raft.db 0 bytes / truncated / random / older bolt version / raft.db.tmp left from crashed init", Tests: []string{"cluster/logstore"}},
	{ID: "B08", Input: "one flipped bit in an entry", Tests: []string{"cluster/logstore"}},
	{ID: "B09", Input: "newest snapshot truncated/CRC bad", Waits: "a case in cluster"},
	{ID: "B10", Input: "snapshot from newer version", Waits: "a case in cluster"},
	{ID: "B11", Input: "data dir of another node / other cluster mounted", Tests: []string{"cluster/datadir", "cluster/logstore", program}},
	{ID: "B12", Input: "clone of a live node's dir started elsewhere", Tests: []string{"cluster/transport"}},
	{ID: "B13", Input: "old backup of dir restored over newer (rollback)", Waits: "--accept-rollback"},
	{ID: "B14", Input: "disk full at start / while running / at snapshot", Tests: []string{"cluster/datadir", "cluster/logstore"}},
	{ID: "B15", Input: "inode exhaustion, quota EDQUOT, EIO, EROFS remount", Tests: []string{"cluster/datadir", "cluster/logstore"}},
	{ID: "B16", Input: "fsync hangs", Tests: []string{"cluster/logstore"}},
	{ID: "B17", Input: "clock of files in the future; mtime weird", Waits: "a case in cluster"},
	{ID: "B19", Input: "taskraft restore of non-archive, truncated, wrong password, zip-slip, 1000:1 bomb, wrong cluster", Tests: []string{"cluster", "e2e"}, Waits: "encrypted backups"},
	{ID: "B20", Input: "taskraft recover while quorum is alive", Waits: "recover"},

	// C: TLS and credentials
	{ID: "C01", Input: "cert without key or key without cert", Waits: "TLS and tokens"},
	{ID: "C02", Input: "files swapped; key does not match cert; DER instead of PEM; PEM with junk; empty", Waits: "TLS and tokens"},
	{ID: "C03", Input: "encrypted key", Waits: "TLS and tokens"},
	{ID: "C04", Input: "expired / not yet valid cert (own)", Waits: "TLS and tokens"},
	{ID: "C05", Input: "expired client cert", Waits: "TLS and tokens"},
	{ID: "C06", Input: "wrong CA, self-signed, missing intermediate, SHA-1/RSA-1024, no SAN", Waits: "TLS and tokens"},
	{ID: "C07", Input: "worker cert on peer port; submitter cert calling Lease", Waits: "TLS and tokens"},
	{ID: "C08", Input: "SAN of another cluster", Waits: "TLS and tokens"},
	{ID: "C10", Input: "TLS 1.2 / weak suites / renegotiation / 0-RTT", Waits: "TLS and tokens"},
	{ID: "C11", Input: "key file mode 0644", Waits: "TLS and tokens"},
	{ID: "C12", Input: "CA file with 0 certs / 10,000 certs", Waits: "TLS and tokens"},
	{ID: "C13", Input: "token: empty, wrong prefix, expired, revoked, from other cluster, 1 MiB long, with newline", Waits: "TLS and tokens"},
	{ID: "C14", Input: "join token reused / expired / wrong role", Waits: "TLS and tokens"},
	{ID: "C15", Input: "cert removed on disk while running", Waits: "TLS and tokens"},

	// D: cluster and version
	{ID: "D01", Input: "second node bootstraps a new cluster with the same peers", Tests: []string{"cluster"}},
	{ID: "D02", Input: "join with id already in use by a live node", Tests: []string{"cluster", "e2e"}},
	{ID: "D03", Input: "join to a follower", Tests: []string{"cluster", "e2e"}, Waits: "the 30 s without a leader as a case of its own"},
	{ID: "D04", Input: "join address that the leader cannot dial back", Tests: []string{"cluster", "e2e"}},
	{ID: "D05", Input: "add 3 nodes at once, remove below quorum, remove the last voter, remove self as leader", Tests: []string{"cluster", "e2e"}},
	{ID: "D06", Input: "peers file with own stale address after IP change", Tests: []string{"cluster"}},
	{ID: "D07", Input: "version skew > 1 minor; unknown raft command version; unknown snapshot version", Tests: []string{"e2e", "fsm", "rpc"}},
	{ID: "D08", Input: "downgrade after new-format entries", Tests: []string{"cluster", "e2e"}},
	{ID: "D09", Input: "different FSM-affecting config per node (e.g. retention)", Waits: "the first setting of the table that a file could hold"},
	{ID: "D10", Input: "two clusters behind one load balancer", Waits: "a case in internal/follow"},
	{ID: "D12", Input: "redirect to unroutable leader address / redirect loop", Waits: "a case in internal/follow"},
	{ID: "D13", Input: "backup from follower that lags", Tests: []string{"e2e"}},
	{ID: "D14", Input: "2-node survivors + one flapping", Waits: "the simulator"},

	// E: gRPC fields
	{ID: "E01", Input: "empty queue, empty executor/type", Tests: []string{"rpc"}},
	{ID: "E02", Input: "queue name 256+ chars, ../, control chars, RTL override, homoglyph, leading dot", Tests: []string{"rpc"}},
	{ID: "E03", Input: "invalid UTF-8 in a proto3 string", Tests: []string{"rpc"}},
	{ID: "E04", Input: "payload 1 MiB + 1 B / 4 MiB + 1 B / 3 GiB claimed length", Tests: []string{"rpc"}},
	{ID: "E06", Input: "unknown compression", Waits: "a case in rpc"},
	{ID: "E07", Input: "batch of 0 / 10,001 tasks; one bad item in batch", Tests: []string{"rpc"}},
	{ID: "E08", Input: "negative or huge duration (timeout −1 s, 300 y; nanos sign mismatch; seconds overflow)", Tests: []string{"rpc"}},
	{ID: "E09", Input: "run_at 1970, year 9999, nanos 2e9, > 1 y ahead", Tests: []string{"rpc"}},
	{ID: "E10", Input: "priority −1, 256, MaxInt32", Tests: []string{"rpc"}},
	{ID: "E11", Input: "max_attempts 0, −1, 1e9; backoff base 0, factor NaN/Inf/−1, max < base", Tests: []string{"rpc"}},
	{ID: "E12", Input: "enum value 99; oneof empty; unknown fields", Tests: []string{"rpc"}},
	{ID: "E13", Input: "idempotency key reused with different payload", Tests: []string{"rpc"}},
	{ID: "E14", Input: "same key 1,000 parallel via 3 nodes during failover", Waits: "a case in e2e"},
	{ID: "E15", Input: "Get/Cancel unknown id; malformed id; trimmed id", Tests: []string{"rpc"}},
	{ID: "E16", Input: "Complete with token 0, older, newer-than-issued, other task's, other worker's", Tests: []string{"rpc"}},
	{ID: "E17", Input: "Complete twice same / different result; Complete after Cancel; Heartbeat after terminal", Tests: []string{"rpc"}},
	{ID: "E18", Input: "result > cap; progress 101 %, NaN; 1 M log lines/s", Tests: []string{"rpc", "worker"}},
	{ID: "E19", Input: "Lease max=0, 1e6; empty queue list; unknown queue; wait > 60 s", Tests: []string{"rpc"}},
	{ID: "E22", Input: "metadata 16 KiB+, 10k keys, binary junk in -bin", Tests: []string{"rpc"}},
	{ID: "E23", Input: ":path without slash, //, unknown service, reflection off", Tests: []string{"rpc"}},
	{ID: "E24", Input: "cron * * * * * * (6 fields), 61 * * * *, @every 1ns, 0 0 30 2 * (never), @reboot", Tests: []string{"cluster/cron", "rpc"}},
	{ID: "E25", Input: "dependency on self, cycle of 3, 10,001 parents, missing parent", Tests: []string{"rpc"}},
	{ID: "E26", Input: "labels 65+, key dup, value 64 KiB, NUL", Tests: []string{"rpc"}},
	{ID: "E27", Input: "page_size −1/1e9, bad/foreign/expired page token, filter ((((… 10k, regex ReDoS", Tests: []string{"rpc"}},
	{ID: "E28", Input: "Watch from future index / compacted index", Waits: "the events API"},
	{ID: "E29", Input: "stream opened and never read (slow consumer), 10k streams", Waits: "a case in rpc"},
	{ID: "E30", Input: "wrong proto (random bytes), truncated frames, h2 floods", Waits: "fuzzing of the edge"},
	{ID: "E31", Input: "submit to paused/draining/deleted queue", Waits: "draining and deleting queues"},
	{ID: "E32", Input: "quota reached", Waits: "quotas"},

	// F: HTTP / dashboard
	{ID: "F01", Input: "invalid JSON, trailing data, duplicate keys, unknown field, NaN, 1e400, depth 10,001", Tests: []string{"web"}},
	{ID: "F02", Input: "body > 1 MiB, chunked endless, wrong Content-Length", Tests: []string{"web"}},
	{ID: "F03", Input: "wrong/missing content type; Content-Encoding: gzip", Tests: []string{"web"}},
	{ID: "F05", Input: "header drip 1 B/s; body drip; 100k idle conns", Tests: []string{"web"}},
	{ID: "F07", Input: "cross-site POST, Origin: null, missing Origin from curl", Tests: []string{"web"}, Waits: "tokens, for what has no Origin"},
	{ID: "F08", Input: "Host: attacker, absolute-form, IP literal not in list", Tests: []string{"web"}},
	{ID: "F09", Input: "XSS strings, ANSI, 1 MiB name, RTL", Tests: []string{"e2e"}},
	{ID: "F10", Input: "expired/forged cookie, session after revocation", Waits: "authentication"},
	{ID: "F11", Input: "POST to follower", Tests: []string{"e2e"}},
	{ID: "F12", Input: "/metrics cardinality attack (1 M queue names)", Tests: []string{"web"}},

	// G: time
	{ID: "G01", Input: "master clock +10 y / −10 y at start", Tests: []string{"cluster"}},
	{ID: "G03", Input: "worker clock wrong by a day", Waits: "a case in e2e"},
	{ID: "G04", Input: "DST gap/overlap, leap second 23:59:60, 29 Feb, zone rule change", Tests: []string{"cluster/cron"}},
	{ID: "G05", Input: "suspend/resume 10 min of leader; of worker", Waits: "the simulator"},
	{ID: "G06", Input: "strobe, slow/fast rate ±20 %", Waits: "the simulator"},

	// H: worker and execution
	{ID: "H01", Input: "executor not allow-listed / path relative / world-writable / missing / not executable / wrong arch / script without shebang", Tests: []string{cli}},
	{ID: "H02", Input: "param injection set (SEC-30)", Tests: []string{"worker/command"}},
	{ID: "H03", Input: "params missing/extra/too long/regex miss", Waits: "schemas of payloads"},
	{ID: "H04", Input: "env LD_PRELOAD, PATH, duplicate, no =", Tests: []string{"worker/command"}},
	{ID: "H05", Input: "exit 0/1/125–127/137, killed by signal, core", Tests: []string{"worker/command"}},
	{ID: "H06", Input: "never ends, ignores TERM, forks, setsid, holds pipes, closes stdout, D-state", Tests: []string{"worker/command"}},
	{ID: "H08", Input: "scratch full, RO, symlink to /etc", Waits: "scratch directories"},
	{ID: "H09", Input: "two workers same id", Tests: []string{"worker", program}},
	{ID: "H10", Input: "worker loses all masters for > TTL", Tests: []string{"worker", "e2e"}},
	{ID: "H11", Input: "worker gets task of unknown schema version", Waits: "versions of payloads"},
	{ID: "H13", Input: "drain (SIGTERM) with running tasks", Tests: []string{"worker", program}},
	{ID: "H14", Input: "handler panics (Go SDK)", Tests: []string{"worker"}},
}
