package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/web/problem"
)

const (
	// bodyWithin is how long a body may take, or the next piece of a stream.
	bodyWithin = 15 * time.Second
	// maxBody is the largest body in bytes, unless payloads may be larger.
	maxBody = 1 << 20
	// maxStream is the largest stream of tasks.
	maxStream = 256 << 20

	mimeJSON   = "application/json"
	mimeLines  = "application/x-ndjson"
	mimeEvents = "text/event-stream"
)

// request is one whose body was read, so that it can be tried more than once.
type request struct {
	*http.Request
	body      []byte
	streamed  bool // the body is yet to be read, once
	forwarded bool // by another master
	redirect  bool // the client would rather go to the leader itself
	headers   headers
}

// read reads a request, or says why it cannot.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*request, *problem.Problem) {
	req := &request{Request: r, forwarded: r.Header.Get(forwardedHeader) != ""}
	if p := req.readHeaders(); p != nil {
		return nil, p
	}
	if r.ContentLength == 0 {
		return req, nil
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refusal(http.StatusUnsupportedMediaType, reason.UnsupportedMedia, "Content-Encoding "+problem.Quoted(e)+": send the body as it is")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == mimeLines && r.URL.Path == "/v1/batches":
		req.streamed = true
		return req, nil
	case err != nil || media != mimeJSON:
		return nil, refusal(http.StatusUnsupportedMediaType, reason.UnsupportedMedia,
			"Content-Type "+problem.Quoted(r.Header.Get("Content-Type"))+": want "+mimeJSON+", as curl --json sends it")
	}
	return req, req.readBody(w, max(maxBody, int64(h.cfg.MaxPayload)*3/2))
}

func (req *request) readBody(w http.ResponseWriter, most int64) *problem.Problem {
	tooLarge := func() *problem.Problem {
		return refusal(http.StatusRequestEntityTooLarge, reason.BodyTooLarge, "the body has more than "+strconv.FormatInt(most, 10)+" bytes")
	}
	if req.ContentLength > most {
		return tooLarge()
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyWithin)) // a test's recorder has none
	var buf bytes.Buffer
	if req.ContentLength > 0 {
		buf.Grow(int(req.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, req.Body, most))
	_, over := errors.AsType[*http.MaxBytesError](err)
	switch {
	case over:
		return tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return refusal(http.StatusRequestTimeout, reason.SlowRequest, "the body did not come within "+bodyWithin.String())
	case err != nil:
		w.Header().Set("Connection", "close")
		return refusal(http.StatusBadRequest, reason.MalformedRequest, "read the body: "+err.Error())
	}
	_ = control.SetReadDeadline(time.Time{})
	req.body = buf.Bytes()
	return nil
}

func refusal(status int, why, detail string) *problem.Problem {
	return &problem.Problem{Status: status, Reason: why, Detail: detail}
}

// attempt is the request for one run of the gateway.
func (req *request) attempt(ctx context.Context) *http.Request {
	r := req.WithContext(ctx)
	if req.streamed {
		return r
	}
	r.Body = io.NopCloser(bytes.NewReader(req.body))
	u := *req.URL
	r.URL = &u
	if q := u.Query(); q.Has(redirectParam) {
		q.Del(redirectParam)
		u.RawQuery = q.Encode()
	}
	if req.headers.wait > 0 && r.Method == http.MethodGet {
		waitFor(&u, req.headers.wait)
	}
	r.Form, r.PostForm = nil, nil
	return r
}

const redirectParam = "redirect"

// waitFor turns the reading of a task or a batch into waiting for its end.
func waitFor(u *url.URL, wait time.Duration) {
	collection, id, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(u.Path, "/v1"), "/"), "/")
	if !ok || collection != "tasks" && collection != "batches" || strings.ContainsAny(id, ":/") {
		return
	}
	u.Path, u.RawPath = "/v1/"+collection+"/"+id+":wait", ""
	u.RawQuery = url.Values{"timeout": {wait.String()}}.Encode()
}

// paced is a streamed body of which each piece has its time.
type paced struct {
	io.ReadCloser
	control *http.ResponseController
}

func (p *paced) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(bodyWithin)) // a test's recorder has none
	n, err := p.ReadCloser.Read(b)
	if err != nil {
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
