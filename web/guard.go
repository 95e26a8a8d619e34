package web

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/web/problem"
)

// guard decides whether a request is answered at all.
type guard struct {
	hosts  []string
	origin *http.CrossOriginProtection
	log    *slog.Logger
}

func newGuard(cfg Config) *guard {
	g := &guard{hosts: []string{"localhost"}, origin: http.NewCrossOriginProtection(), log: cfg.Logger}
	for _, h := range append(slices.Clone(cfg.Hosts), cfg.Advertised) {
		g.hosts = append(g.hosts, strings.ToLower(hostOf(h)))
	}
	g.origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.Problem{
			Status: http.StatusForbidden, Reason: reason.CrossOrigin,
			Detail: "a page of another origin may not do this",
		})
	}))
	return g
}

// around answers what h may answer.
func (g *guard) around(h http.Handler) http.Handler {
	h = g.origin.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.recover(w, r)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !g.knows(r) {
			problem.Write(w, problem.Problem{
				Status: http.StatusMisdirectedRequest, Reason: reason.WrongHost,
				Detail: "this master is not known as " + problem.Quoted(r.Host) + ": --http-host makes it so",
			})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// knows reports whether the request is for a name of this master. A page whose
// attacker lets its name point here sends that name.
func (g *guard) knows(r *http.Request) bool {
	host := strings.ToLower(hostOf(r.Host))
	if ip := net.ParseIP(host); ip != nil {
		if ip.IsLoopback() {
			return true
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if tcp, ok := local.(*net.TCPAddr); ok && tcp.IP.Equal(ip) {
			return true
		}
	}
	return slices.Contains(g.hosts, host)
}

// hostOf is the host of HOST, HOST:PORT, [IP] and [IP]:PORT.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

// recover turns a handler's panic into an answer with an id, under which the log has
// its stack.
func (g *guard) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { // an answer that cannot be finished: the server knows
		panic(p)
	}
	var b [6]byte
	rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	g.log.Error("handler panicked", "method", r.Method+" "+r.URL.Path, "id", id, "err", p, "stack", string(debug.Stack()))
	problem.Write(w, problem.Problem{
		Status: http.StatusInternalServerError, Reason: reason.Internal,
		Detail: "internal error " + id + ": see the master's log",
	})
}
