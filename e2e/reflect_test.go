package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-shellwords"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reflected calls a master as grpcurl does: all that it knows of the API it asks
// the master's reflection service for.
type reflected struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stream reflectionpb.ServerReflection_ServerReflectionInfoClient
	known  descriptorpb.FileDescriptorSet // all it told: a stream tells of an import once
}

func newReflected(ctx context.Context, t *testing.T, addr string) *reflected {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	must(t, err)
	t.Cleanup(func() { must(t, conn.Close()) })
	return &reflected{t: t, conn: conn, stream: stream}
}

func (r *reflected) ask(req *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
	r.t.Helper()
	must(r.t, r.stream.Send(req))
	resp, err := r.stream.Recv()
	must(r.t, err)
	if e := resp.GetErrorResponse(); e != nil {
		r.t.Fatalf("reflection: %s", e.GetErrorMessage())
	}
	return resp
}

// services lists what the master serves.
func (r *reflected) services() (names []string) {
	resp := r.ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// files are the descriptors known so far, with those that a service needs.
func (r *reflected) files(service string) *protoregistry.Files {
	r.t.Helper()
	resp := r.ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	for _, raw := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		must(r.t, proto.Unmarshal(raw, file))
		if !slices.ContainsFunc(r.known.File, func(f *descriptorpb.FileDescriptorProto) bool { return f.GetName() == file.GetName() }) {
			r.known.File = append(r.known.File, file)
		}
	}
	files, err := protodesc.NewFiles(&r.known)
	must(r.t, err)
	return files
}

// call sends JSON to service/method and returns the answer as JSON.
func (r *reflected) call(ctx context.Context, name, body string) string {
	r.t.Helper()
	service, method, _ := strings.Cut(name, "/")
	files := r.files(service)
	found, err := files.FindDescriptorByName(protoreflect.FullName(service))
	must(r.t, err)
	m := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if m == nil {
		r.t.Fatalf("%s has no method %s", service, method)
	}
	types := dynamicpb.NewTypes(files)
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	must(r.t, protojson.UnmarshalOptions{Resolver: types}.Unmarshal([]byte(body), in))
	if m.IsStreamingClient() {
		stream, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/"+name)
		must(r.t, err)
		must(r.t, stream.SendMsg(in))
		must(r.t, stream.CloseSend())
		must(r.t, stream.RecvMsg(out))
	} else {
		must(r.t, r.conn.Invoke(ctx, "/"+name, in, out))
	}
	answer, err := protojson.MarshalOptions{Resolver: types}.Marshal(out)
	must(r.t, err)
	return string(answer)
}

var grpcurlBlock = regexp.MustCompile("(?s)```sh\n(grpcurl.*?)```(?:\n\n```json\n(.*?)```)?")

// TestPullPage makes every call of docs/pull.md through reflection, without any
// generated code of ours, and finds in the answers what the page says of them.
func TestPullPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/pull.md"))
	must(t, err)
	c := newCluster(t)
	ctx := within(t, 2*time.Minute)
	leader, err := c.Leader(ctx)
	must(t, err)
	r := newReflected(ctx, t, leader.GRPC)
	calls := 0
	for _, block := range grpcurlBlock.FindAllStringSubmatch(string(text), -1) {
		answer := ""
		for line := range strings.Lines(block[1]) {
			words, err := shellwords.Parse(line)
			must(t, err)
			if words[len(words)-1] == "list" {
				if got := r.services(); !slices.Contains(got, "taskraft.v1.WorkerService") {
					t.Errorf("the services are %v", got)
				}
				continue
			}
			if len(words) != 6 || words[2] != "-d" || words[4] != "127.0.0.1:7400" {
				t.Fatalf("a call of another form: %s", line)
			}
			answer = r.call(ctx, words[5], words[3])
			calls++
		}
		if block[2] == "" {
			continue
		}
		var want, got any
		must(t, json.Unmarshal([]byte(block[2]), &want))
		must(t, json.Unmarshal([]byte(answer), &got))
		if diff := missing("", want, got); diff != "" {
			t.Errorf("%s\nanswers %s: %s", block[1], answer, diff)
		}
	}
	if calls < 9 {
		t.Errorf("the page has %d calls", calls)
	}
}

// missing returns the first thing of want that got lacks or has otherwise.
func missing(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		for key, v := range want {
			if diff := missing(at+"."+key, v, got[key]); diff != "" {
				return diff
			}
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			return fmt.Sprintf("%s has %d items, want %d", at, len(got), len(want))
		}
		for i := range want {
			if diff := missing(fmt.Sprintf("%s[%d]", at, i), want[i], got[i]); diff != "" {
				return diff
			}
		}
	default:
		if want != got {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
	}
	return ""
}
