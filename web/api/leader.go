package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/web/problem"
)

// forwarder sends requests on to the leader.
type forwarder struct {
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

// onward is one forwarding: where to, and what came of it.
type onward struct {
	to   string
	sent atomic.Bool // a connection was had: the leader may know of the request
	err  error       // why there is no answer; nothing is written then
}

type onwardKey struct{}

// errElsewhere says that the one asked does not lead, and has done nothing.
var errElsewhere = errors.New("not the leader any more")

func newForwarder(name string) *forwarder {
	f := &forwarder{transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
	f.proxy = &httputil.ReverseProxy{
		Transport:     f.transport,
		FlushInterval: -1, // what a stream says is told at once
		ErrorLog:      nil,
		Rewrite: func(r *httputil.ProxyRequest) {
			o := r.In.Context().Value(onwardKey{}).(*onward)
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", o.to, o.to
			r.SetXForwarded()
			r.Out.Header.Set(forwardedHeader, name)
			// Whether the page may ask was decided here, for the name that it knows.
			for _, h := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"} {
				r.Out.Header.Del(h)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			switch r.Header.Get(problem.ReasonHeader) {
			case reason.NotLeader, reason.NoLeader:
				return errElsewhere
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			r.Context().Value(onwardKey{}).(*onward).err = err
		},
	}
	return f
}

func (f *forwarder) close() { f.transport.CloseIdleConnections() }

// send asks another master. It reports false when that has done nothing, or when
// what it may have done is safe to repeat; nothing is written then.
func (f *forwarder) send(w http.ResponseWriter, req *request, to string) bool {
	o := &onward{to: to}
	ctx := context.WithValue(req.Context(), onwardKey{}, o)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { o.sent.Store(true) }})
	r := req.WithContext(ctx)
	if !req.streamed {
		r.Body = io.NopCloser(bytes.NewReader(req.body))
		r.ContentLength = int64(len(req.body))
	}
	before := w.Header().Clone()
	f.proxy.ServeHTTP(w, r)
	switch {
	case o.err == nil:
		return true
	case req.Context().Err() != nil:
		return true // the client is gone
	case errors.Is(o.err, errElsewhere), !o.sent.Load(), req.repeatable():
		restore(w.Header(), before)
		return false
	}
	restore(w.Header(), before)
	problem.Write(w, problem.Problem{
		Status: http.StatusGatewayTimeout, Reason: reason.OutcomeUnknown,
		Detail: "the leader was lost while it had the request: it may have taken effect; an Idempotency-Key makes a repeat safe",
	})
	return true
}

func restore(h, before http.Header) {
	clear(h)
	maps.Copy(h, before)
}

// repeatable reports whether doing a request twice is doing it once.
func (req *request) repeatable() bool {
	if req.streamed {
		return false // its body is gone
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPatch:
		return true
	}
	_, verb, _ := strings.Cut(req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:], ":")
	if i := strings.LastIndexByte(verb, ':'); i >= 0 {
		verb = verb[i+1:]
	}
	switch verb {
	case "poll", "heartbeat", "complete", "fail", "cancel", "pause", "resume":
		return true
	}
	return req.headers.key != ""
}

// redirect tells the client to ask the leader itself.
func (h *Handler) redirect(w http.ResponseWriter, req *request, l cluster.Leader) {
	u := *req.URL
	q := u.Query()
	q.Del(redirectParam)
	u.Scheme, u.Host, u.RawQuery = "http", l.HTTP, q.Encode()
	w.Header().Set("Location", u.String())
	problem.Write(w, problem.Problem{
		Status: http.StatusTemporaryRedirect, Reason: reason.NotLeader, Detail: l.Name + " leads",
	})
}

// stream passes a body that is read only once to whoever leads when it begins.
func (h *Handler) stream(w http.ResponseWriter, req *request) {
	leader, _ := h.cfg.Leader()
	h.tell(w, leader)
	req.Body = http.MaxBytesReader(w, &paced{req.Body, http.NewResponseController(w)}, maxStream)
	var err error
	switch {
	case leader.Self || leader.HTTP == "" || req.forwarded:
		err = h.try(w, req)
	case req.redirect:
		h.redirect(w, req, leader)
	case !h.forward.send(w, req, leader.HTTP):
		problem.Write(w, problem.Problem{
			Status: http.StatusServiceUnavailable, Reason: reason.NoLeader, RetryAfter: time.Second,
			Detail: leader.Name + " does not answer as leader: nothing of the batch exists; send it again",
		})
	}
	if err != nil {
		problem.Write(w, problem.Of(err))
	}
}
