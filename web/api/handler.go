package api

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/web/gateway"
	"github.com/taskraft/taskraft/web/problem"
)

// patience is how long a request may wait here for a leader.
const patience = 5 * time.Second

// Config is what the API needs.
type Config struct {
	// Conn calls the API of this master.
	Conn grpc.ClientConnInterface
	// Leader returns the present leader and a channel closed at the next change.
	Leader func() (cluster.Leader, <-chan struct{})
	// Name of this master.
	Name string
	// MaxPayload is the largest payload or result in bytes.
	MaxPayload int
}

// Handler is the API. Close it after use.
type Handler struct {
	cfg     Config
	conn    grpc.ClientConnInterface
	mux     *runtime.ServeMux
	forward *forwarder
}

// New returns the API of one master.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, conn: calls{cfg.Conn}, forward: newForwarder(cfg.Name)}
	h.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, plain),
		runtime.WithMarshalerOption(mimeLines, lines),
		runtime.WithMarshalerOption(mimeEvents, events),
		runtime.SetQueryParameterParser(query{}),
		runtime.WithErrorHandler(refuse),
		runtime.WithRoutingErrorHandler(noRoute),
		runtime.WithForwardResponseOption(answer),
		runtime.WithIncomingHeaderMatcher(traced),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
	)
	ctx := context.Background()
	for _, register := range []func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error{
		service(gateway.RegisterTaskServiceHandlerClient, taskraftv1.NewTaskServiceClient),
		service(gateway.RegisterWorkerServiceHandlerClient, taskraftv1.NewWorkerServiceClient),
		service(gateway.RegisterQueueServiceHandlerClient, taskraftv1.NewQueueServiceClient),
		service(gateway.RegisterBatchServiceHandlerClient, taskraftv1.NewBatchServiceClient),
		service(gateway.RegisterDeadServiceHandlerClient, taskraftv1.NewDeadServiceClient),
		service(gateway.RegisterEventServiceHandlerClient, taskraftv1.NewEventServiceClient),
		service(gateway.RegisterScheduleServiceHandlerClient, taskraftv1.NewScheduleServiceClient),
		service(gateway.RegisterClusterServiceHandlerClient, taskraftv1.NewClusterServiceClient),
	} {
		if err := register(ctx, h.mux, h.conn); err != nil {
			panic(err) // the generated code returns nil
		}
	}
	return h
}

// service joins a generated registration and its client.
func service[C any](
	register func(context.Context, *runtime.ServeMux, C) error, client func(grpc.ClientConnInterface) C,
) func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error {
	return func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
		return register(ctx, mux, client(conn))
	}
}

func none(string) (string, bool) { return "", false }

// traced lets a call know whose trace it belongs to; other headers stay here.
func traced(header string) (string, bool) {
	switch header {
	case "Traceparent":
		return "traceparent", true
	case "Tracestate":
		return "tracestate", true
	}
	return "", false
}

// Close closes the connections to other masters.
func (h *Handler) Close() { h.forward.close() }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/openapi.json" && r.Method == http.MethodGet {
		serveDocument(w)
		return
	}
	req, refused := h.read(w, r)
	if refused != nil {
		problem.Write(w, *refused)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if req.streamed {
		h.stream(w, req)
		return
	}
	h.serve(w, req)
}

// serve tries a request here and, as long as that does nothing because another
// master leads or none does, there.
func (h *Handler) serve(w http.ResponseWriter, req *request) {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		leader, changed := h.cfg.Leader()
		h.tell(w, leader)
		err := h.try(w, req)
		if err == nil {
			return
		}
		if req.forwarded { // whoever sent it here finds the leader again
			problem.Write(w, problem.Of(err))
			return
		}
		if leader.HTTP != "" && !leader.Self {
			if req.redirect {
				h.redirect(w, req, leader)
				return
			}
			if h.forward.send(w, req, leader.HTTP) {
				return
			}
		}
		again := time.NewTimer(lookAgain)
		select {
		case <-changed:
		case <-again.C:
		case <-over.C:
			again.Stop()
			problem.Write(w, problem.Of(err))
			return
		case <-req.Context().Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

// lookAgain is the pause before a leader that did not answer is asked again.
const lookAgain = 25 * time.Millisecond

// try runs a request here. An error is one that another master, or the same a
// little later, may not answer with; nothing is written then.
func (h *Handler) try(w http.ResponseWriter, req *request) error {
	t := &trial{}
	ctx := context.WithValue(req.Context(), trialKey{}, t)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: clientAddr(req.RemoteAddr)})
	ctx = context.WithValue(ctx, headersKey{}, req.headers)
	r := req.attempt(ctx)
	if req.headers.wait > 0 && r.Method == http.MethodPost {
		h.submitAndWait(w, r, req)
	} else {
		h.mux.ServeHTTP(w, r)
	}
	return t.err
}

// trial is one run of a request, and why it is to be repeated.
type trial struct{ err error }

type trialKey struct{}

// refuse answers with an error, unless the request is to be tried elsewhere.
func refuse(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	p := problem.Of(err)
	if t, ok := ctx.Value(trialKey{}).(*trial); ok && (p.Reason == reason.NotLeader || p.Reason == reason.NoLeader) {
		t.err = err
		return
	}
	if p.Reason == reason.RequestIDConflict && headersOf(ctx).key != "" {
		p.Status = http.StatusUnprocessableEntity
	}
	p.Detail = readable(p.Detail)
	w.Header().Del("Transfer-Encoding")
	problem.Write(w, p)
}

func noRoute(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, status int) {
	p := problem.Problem{Status: status, Reason: reason.NoRoute, Detail: "no such path: " + problem.Quoted(r.URL.Path) + "; see /openapi.json"}
	switch status {
	case http.StatusMethodNotAllowed:
		p.Reason, p.Detail = reason.MethodNotAllowed, r.Method+" is none of this path's methods; see /openapi.json"
	case http.StatusBadRequest:
		p.Reason = reason.MalformedRequest
	}
	problem.Write(w, p)
}

// clientAddr is the address that the log keeps as who asked.
type clientAddr string

func (clientAddr) Network() string  { return "tcp" }
func (a clientAddr) String() string { return string(a) }

var _ net.Addr = clientAddr("")
