package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/web/problem"
)

//go:embed pages/*.html static
var files embed.FS

// Node is what the pages show of a master.
type Node interface {
	Status() cluster.Status
	Position() cluster.Position
	Leader() (cluster.Leader, <-chan struct{})
	Members(context.Context) []cluster.Member
	Read(context.Context, cluster.ReadOptions, func(*fsm.Machine)) (cluster.Position, error)
}

// Config is what the dashboard needs.
type Config struct {
	Node Node
	// Conn reads on this master; API acts, on whichever leads.
	Conn   grpc.ClientConnInterface
	API    http.Handler
	Name   string
	Logger *slog.Logger
}

// Handler serves everything under /ui/. Close it after use.
type Handler struct {
	cfg       Config
	mux       *http.ServeMux
	tasks     taskraftv1.TaskServiceClient
	queues    taskraftv1.QueueServiceClient
	schedules taskraftv1.ScheduleServiceClient
	dead      taskraftv1.DeadServiceClient
	history   *history
	members   members
	stop      context.CancelFunc
	ended     context.Context
	wg        sync.WaitGroup
}

var (
	templates = parse()
	static    = assets()
)

// New returns the dashboard of one master and begins to sample it.
func New(cfg Config) *Handler {
	h := &Handler{
		cfg: cfg, mux: http.NewServeMux(), history: newHistory(),
		tasks: taskraftv1.NewTaskServiceClient(cfg.Conn), queues: taskraftv1.NewQueueServiceClient(cfg.Conn),
		schedules: taskraftv1.NewScheduleServiceClient(cfg.Conn), dead: taskraftv1.NewDeadServiceClient(cfg.Conn),
	}
	h.ended, h.stop = context.WithCancel(context.Background())
	h.mux.HandleFunc("GET /ui/{$}", h.page("overview", h.overview))
	h.mux.HandleFunc("GET /ui/queues", h.page("queues", h.queueList))
	h.mux.HandleFunc("GET /ui/queues/{name}", h.page("queue", h.queue))
	h.mux.HandleFunc("GET /ui/tasks", h.page("tasks", h.taskList))
	h.mux.HandleFunc("GET /ui/tasks/{id}", h.page("task", h.task))
	h.mux.HandleFunc("GET /ui/workers", h.page("workers", h.workers))
	h.mux.HandleFunc("GET /ui/schedules", h.page("schedules", h.scheduleList))
	h.mux.HandleFunc("GET /ui/dead", h.page("dead", h.deadGroups))
	h.mux.HandleFunc("GET /ui/cluster", h.page("cluster", h.cluster))
	h.mux.HandleFunc("GET /ui/submit", h.page("submit", h.submitForm))
	h.mux.HandleFunc("POST /ui/submit", h.submit)
	h.mux.HandleFunc("POST /ui/do", h.do)
	h.mux.HandleFunc("GET /ui/live", h.live)
	h.mux.Handle("GET /ui/static/", http.StripPrefix("/ui/static/"+static.version+"/", static))
	h.wg.Go(func() { h.sample(h.ended) })
	return h
}

// Close ends the sampling and the streams.
func (h *Handler) Close() {
	h.stop()
	h.wg.Wait()
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", h.policy(r.Context()))
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cache-Control", "no-store")
	if _, pattern := h.mux.Handler(r); pattern == "" {
		h.fail(w, r, http.StatusNotFound, "There is no page here.")
		return
	}
	h.mux.ServeHTTP(w, r)
}

// policy allows what comes from this master, and to ask the others whether they
// live, should this one be lost.
func (h *Handler) policy(ctx context.Context) string {
	var connect strings.Builder
	connect.WriteString("connect-src 'self'")
	for _, m := range h.members.get(ctx, h.cfg.Node) {
		if m.HTTP != "" && m.Name != h.cfg.Name {
			connect.WriteString(" http://" + m.HTTP)
		}
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " + connect.String() +
		"; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types taskraft"
}

// members remembers the masters for a moment: to ask them costs a round trip.
type members struct {
	mu   sync.Mutex
	at   time.Time
	list []cluster.Member
}

func (m *members) get(ctx context.Context, n Node) []cluster.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) > time.Second {
		m.list, m.at = n.Members(ctx), time.Now()
	}
	return m.list
}

// view is what every page shows, and its own data.
type view struct {
	Page, Title string
	Static      string
	Name        string
	Leader      cluster.Leader
	Term, Index uint64
	Age         time.Duration
	Stale       bool // the leader was not heard lately
	Alarms      []string
	Others      string // addresses of the other masters, for when this one is lost
	Path        string // with its query
	Said        string // what an action did
	Refused     string // why an action did nothing
	Lost        string // the master that the page came from
	Now         time.Time
	Data        any
	Refreshable bool
}

// page serves a page whose data comes from load.
func (h *Handler) page(name string, load func(*http.Request) (title string, data any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if after := r.URL.Query().Get("after"); after != "" {
			h.reach(r.Context(), after) // what the leader has done is seen here, too
		}
		title, data, err := load(r)
		if err != nil {
			p := problem.Of(err)
			h.fail(w, r, p.Status, p.Detail)
			return
		}
		v := h.view(r, name, title)
		v.Data, v.Refreshable = data, name != "submit"
		v.Said = said(r.URL.Query().Get("said"))
		h.render(w, http.StatusOK, v)
	}
}

func (h *Handler) view(r *http.Request, name, title string) *view {
	pos := h.cfg.Node.Position()
	leader, _ := h.cfg.Node.Leader()
	v := &view{
		Page: name, Title: title, Static: "/ui/static/" + static.version, Name: h.cfg.Name, Leader: leader,
		Term: pos.Term, Index: pos.Index, Age: pos.Age, Stale: pos.Age > 2*time.Second || leader.Name == "", Alarms: h.cfg.Node.Status().Alarms,
		Path: r.URL.RequestURI(), Now: time.Now(),
	}
	var others []string
	for _, m := range h.members.get(r.Context(), h.cfg.Node) {
		if m.HTTP != "" && m.Name != h.cfg.Name {
			others = append(others, m.HTTP)
		}
		if m.Name == r.URL.Query().Get("lost") {
			v.Lost = m.Name
		}
	}
	v.Others = strings.Join(others, " ")
	return v
}

func (h *Handler) render(w http.ResponseWriter, status int, v *view) {
	var buf bytes.Buffer
	if err := templates[v.Page].ExecuteTemplate(&buf, "layout.html", v); err != nil {
		h.cfg.Logger.Error("page not written", "page", v.Page, "err", err)
		http.Error(w, "internal error: see the master's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // the browser is gone: nobody to tell
}

// fail says what went wrong, on a page.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, status int, detail string) {
	v := h.view(r, "error", http.StatusText(status))
	v.Refused = detail
	h.render(w, status, v)
}

// parse reads every page together with the layout.
func parse() map[string]*template.Template {
	out := make(map[string]*template.Template)
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		panic(err) // it is built in
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" || base == "parts" {
			continue
		}
		t := template.New(base).Funcs(functions)
		out[base] = template.Must(t.ParseFS(files, "pages/layout.html", "pages/parts.html", name))
	}
	return out
}

// assetFiles are the static files, under a path that changes with them.
type assetFiles struct {
	http.Handler
	version string
}

func assets() *assetFiles {
	dir, err := fs.Sub(files, "static")
	if err != nil {
		panic(err)
	}
	sum := sha256.New()
	err = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dir, name)
		sum.Write(data)
		return err
	})
	if err != nil {
		panic(err)
	}
	serve := http.FileServerFS(dir)
	return &assetFiles{version: hex.EncodeToString(sum.Sum(nil))[:12], Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		serve.ServeHTTP(w, r)
	})}
}
