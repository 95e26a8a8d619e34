package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/cluster"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// accepting answers every call as a submit that was accepted.
type accepting struct{ grpc.ClientConnInterface }

func (accepting) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	proto.Merge(reply.(proto.Message), &taskraftv1.SubmitTaskResponse{
		Id: 1042, Position: &taskraftv1.Position{ClusterId: "06a978840a047d59", Term: 2, Index: 120_331},
	})
	return nil
}

// BenchmarkPost is a POST /tasks without the table behind it.
func BenchmarkPost(b *testing.B) {
	h := New(Config{
		Conn: accepting{}, Name: "n1", MaxPayload: 64 << 10,
		Leader: func() (cluster.Leader, <-chan struct{}) {
			return cluster.Leader{Name: "n1", HTTP: "127.0.0.1:7402", Self: true}, nil
		},
	})
	defer h.Close()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/tasks", strings.NewReader(`{"cmd": "touch test.txt"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			text, _ := io.ReadAll(w.Body)
			b.Fatalf("%d: %s", w.Code, text)
		}
	}
}
