package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// The headers of an answer.
const (
	// The answer's position in the log: give index as min_index to read on any
	// master at least this state.
	clusterHeader = "Taskraft-Cluster"
	termHeader    = "Taskraft-Term"
	indexHeader   = "Taskraft-Index"
	ageHeader     = "Taskraft-Age" // seconds since the answering master heard the leader
	// leaderHeader says where the leader answers.
	leaderHeader = "Taskraft-Leader"
	// forwardedHeader names the master that sent a request on.
	forwardedHeader = "Taskraft-Forwarded"
)

// tell says where the leader is.
func (h *Handler) tell(w http.ResponseWriter, l cluster.Leader) {
	if l.HTTP != "" {
		w.Header().Set(leaderHeader, "http://"+l.HTTP)
	}
}

// answer adds status and headers to what the gateway writes.
func answer(ctx context.Context, w http.ResponseWriter, m proto.Message) error {
	h := w.Header()
	if m, ok := m.(interface{ GetPosition() *taskraftv1.Position }); ok {
		position(h, m.GetPosition())
	}
	if wait := headersOf(ctx).wait; wait > 0 {
		if pattern, _ := runtime.HTTPPathPattern(ctx); strings.HasSuffix(pattern, ":wait") {
			applied(h, wait)
		}
	}
	switch m := m.(type) {
	case *taskraftv1.SubmitTaskResponse:
		created(ctx, w, m.GetExisting(), strconv.FormatUint(m.GetId(), 10))
	case *taskraftv1.SubmitBatchResponse:
		created(ctx, w, m.GetExisting(), strconv.FormatUint(m.GetId(), 10))
	case *taskraftv1.CreateScheduleResponse:
		created(ctx, w, m.GetExisting(), m.GetSchedule().GetName())
	case *taskraftv1.SubmitTasksResponse:
		w.WriteHeader(http.StatusCreated)
	case interface{ GetOutcome() taskraftv1.Outcome }:
		switch m.GetOutcome() {
		case taskraftv1.Outcome_ACCEPTED, taskraftv1.Outcome_DUPLICATE:
		default:
			w.WriteHeader(http.StatusConflict)
		}
	}
	return nil
}

// created says where the new thing is, or the one that was there.
func created(ctx context.Context, w http.ResponseWriter, existing bool, id string) {
	collection, _ := runtime.HTTPPathPattern(ctx)
	w.Header().Set("Location", collection+"/"+id)
	if !existing {
		w.WriteHeader(http.StatusCreated)
	}
}

func position(h http.Header, p *taskraftv1.Position) {
	if p == nil {
		return
	}
	h.Set(clusterHeader, p.GetClusterId())
	h.Set(termHeader, strconv.FormatUint(p.GetTerm(), 10))
	h.Set(indexHeader, strconv.FormatUint(p.GetIndex(), 10))
	if p.GetAge() != nil {
		h.Set(ageHeader, strconv.FormatFloat(p.GetAge().AsDuration().Seconds(), 'f', 3, 64))
	}
}
