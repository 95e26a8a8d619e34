package api

import (
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
	"github.com/taskraft/taskraft/web/problem"
)

// submitAndWait answers a submit that prefers to wait for the task's end: with the
// task, 201 when it has ended and 202 when it has not.
func (h *Handler) submitAndWait(w http.ResponseWriter, r *http.Request, req *request) {
	collection := r.URL.Path
	if collection != "/v1/tasks" && collection != "/tasks" {
		h.mux.ServeHTTP(w, r)
		return
	}
	ctx := r.Context()
	spec := &taskraftv1.TaskSpec{}
	if err := unmarshal(req.body, spec); err != nil {
		problem.Write(w, *refusal(http.StatusBadRequest, reason.MalformedRequest, readable(err.Error())))
		return
	}
	tasks := taskraftv1.NewTaskServiceClient(h.conn)
	receipt, err := tasks.SubmitTask(ctx, &taskraftv1.SubmitTaskRequest{Task: spec})
	if err != nil {
		refuse(ctx, h.mux, plain, w, r, err)
		return
	}
	position(w.Header(), receipt.GetPosition())
	w.Header().Set("Location", collection+"/"+strconv.FormatUint(receipt.GetId(), 10))
	waited, err := tasks.WaitTask(ctx, &taskraftv1.WaitTaskRequest{Id: receipt.GetId(), Timeout: durationpb.New(req.headers.wait)})
	status, task := http.StatusAccepted, waited.GetTask()
	if err != nil { // it is accepted, and more is not known here
		task = &taskraftv1.Task{Id: receipt.GetId()}
	} else {
		applied(w.Header(), req.headers.wait)
		position(w.Header(), waited.GetPosition())
	}
	if waited.GetDone() {
		status = http.StatusCreated
	}
	body, err := plain.Marshal(task)
	if err != nil {
		refuse(ctx, h.mux, plain, w, r, err)
		return
	}
	w.Header().Set("Content-Type", mimeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}

// applied says that the preference to wait was followed.
func applied(h http.Header, wait time.Duration) {
	h.Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
}
