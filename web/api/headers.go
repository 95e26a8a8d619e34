package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/web/problem"
)

// headers are what a request's headers ask for.
type headers struct {
	key  string        // Idempotency-Key
	wait time.Duration // Prefer: wait=N
	last string        // Last-Event-ID
}

type headersKey struct{}

func headersOf(ctx context.Context) headers {
	h, _ := ctx.Value(headersKey{}).(headers)
	return h
}

const (
	maxKey  = 128 // bytes, as of request_id
	maxWait = 60 * time.Second
)

func (req *request) readHeaders() *problem.Problem {
	for _, h := range []string{"Traceparent", "Tracestate"} {
		if strings.ContainsFunc(req.Header.Get(h), func(r rune) bool { return r < ' ' || r > '~' }) {
			req.Header.Del(h) // nobody's: a trace that cannot be read is none
		}
	}
	if v := req.Header.Values("Idempotency-Key"); len(v) > 0 {
		key, ok := unquoted(v[0])
		if len(v) > 1 || !ok {
			return refusal(http.StatusBadRequest, reason.MalformedRequest, "Idempotency-Key: want one key of 1 to "+strconv.Itoa(maxKey)+" bytes, bare or in quotes")
		}
		req.headers.key = key
	}
	req.headers.last = req.Header.Get("Last-Event-ID")
	for _, v := range req.Header.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			n, ok := strings.CutPrefix(strings.TrimSpace(p), "wait=")
			// A preference that cannot be understood is none (RFC 7240).
			if s, err := strconv.Atoi(n); ok && err == nil && s > 0 {
				req.headers.wait = min(time.Duration(min(s, 3600))*time.Second, maxWait)
			}
		}
	}
	if v, asked := req.URL.Query()[redirectParam]; asked {
		on, err := strconv.ParseBool(v[0])
		if err != nil {
			return refusal(http.StatusBadRequest, reason.MalformedRequest, "redirect: got "+problem.Quoted(v[0])+", want 1 or 0")
		}
		req.redirect = on
	}
	return nil
}

// unquoted reads key and "key".
func unquoted(s string) (string, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return s, s != "" && len(s) <= maxKey && !strings.ContainsAny(s, "\"\\")
}
