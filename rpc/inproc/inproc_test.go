package inproc_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/taskraft/taskraft/rpc/inproc"
)

// echo answers with what it was asked, and by the service's name in other ways.
type echo struct {
	healthpb.UnimplementedHealthServer
	reflectionpb.UnimplementedServerReflectionServer
	got chan *healthpb.HealthCheckRequest
}

func (e *echo) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	switch req.GetService() {
	case "plain error":
		return nil, errors.New("plain")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	e.got <- req
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func (e *echo) Watch(req *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	m := &healthpb.HealthCheckResponse{}
	for i := range 3 {
		m.Status = healthpb.HealthCheckResponse_ServingStatus(i) // the same message again: it was copied
		if err := s.Send(m); err != nil {
			return err
		}
	}
	if req.GetService() == "wait" {
		<-s.Context().Done()
		return s.Context().Err()
	}
	return nil
}

func (e *echo) ServerReflectionInfo(s grpc.BidiStreamingServer[reflectionpb.ServerReflectionRequest, reflectionpb.ServerReflectionResponse]) error {
	for {
		req, err := s.Recv()
		if err == io.EOF {
			return status.Error(codes.DataLoss, "all said")
		}
		if err != nil {
			return err
		}
		if err := s.Send(&reflectionpb.ServerReflectionResponse{ValidHost: req.GetHost()}); err != nil {
			return err
		}
	}
}

func connect(t *testing.T) (*echo, *inproc.Conn) {
	t.Helper()
	e := &echo{got: make(chan *healthpb.HealthCheckRequest, 1)}
	around := 0
	conn := inproc.New(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			around++
			return next(ctx, req)
		},
		func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, s)
		},
	)
	healthpb.RegisterHealthServer(conn, e)
	reflectionpb.RegisterServerReflectionServer(conn, e)
	t.Cleanup(func() {
		conn.Close()
		if around == 0 && !t.Failed() && t.Name() == "TestUnary" {
			t.Error("the interceptor was not called")
		}
	})
	return e, conn
}

func wantCode(t *testing.T, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("got %v, want %v", err, code)
	}
}

func TestUnary(t *testing.T) {
	e, conn := connect(t)
	c := healthpb.NewHealthClient(conn)
	req := &healthpb.HealthCheckRequest{Service: "a"}
	resp, err := c.Check(t.Context(), req)
	if err != nil || resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("got %v, %v", resp, err)
	}
	if got := <-e.got; got == req || got.GetService() != "a" {
		t.Errorf("the handler got %v, the caller's own message: %v", got, got == req)
	}
	_, err = c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "plain error"})
	wantCode(t, err, codes.Unknown)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = c.Check(ctx, &healthpb.HealthCheckRequest{Service: "wait"})
	wantCode(t, err, codes.DeadlineExceeded)
	_, err = c.List(t.Context(), &healthpb.HealthListRequest{})
	wantCode(t, err, codes.Unimplemented)
	wantCode(t, conn.Invoke(t.Context(), "/no/Method", req, resp), codes.Unimplemented)
	conn.Close()
	_, err = c.Check(t.Context(), req)
	wantCode(t, err, codes.Unavailable)
}

func TestServerStream(t *testing.T) {
	_, conn := connect(t)
	c := healthpb.NewHealthClient(conn)
	for _, service := range []string{"", "wait"} {
		s, err := c.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			m, err := s.Recv()
			if err != nil || int(m.GetStatus()) != i {
				t.Fatalf("message %d: %v, %v", i, m, err)
			}
		}
		if service == "wait" {
			conn.Close() // ends the stream
			_, err = s.Recv()
			wantCode(t, err, codes.Canceled)
		} else if _, err = s.Recv(); err != io.EOF {
			t.Errorf("got %v, want EOF", err)
		}
	}
}

func TestBothWays(t *testing.T) {
	_, conn := connect(t)
	s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a", "b"} {
		if err := s.Send(&reflectionpb.ServerReflectionRequest{Host: host}); err != nil {
			t.Fatal(err)
		}
		if m, err := s.Recv(); err != nil || m.GetValidHost() != host {
			t.Fatalf("got %v, %v", m, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	wantCode(t, err, codes.DataLoss)
	if err := s.Send(&reflectionpb.ServerReflectionRequest{}); err != io.EOF {
		t.Errorf("send after the end: got %v, want EOF", err)
	}
}

// Whoever sends after its own end hears of it, whether the handler has noticed or not.
func TestSendAfterEnd(t *testing.T) {
	_, conn := connect(t)
	for range 200 {
		s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&reflectionpb.ServerReflectionRequest{}); err != io.EOF && status.Code(err) != codes.Internal {
			t.Fatalf("got %v, want EOF or a refusal", err)
		}
	}
}
