#!/usr/bin/env bash
# Regenerates every committed .pb.go from its .proto.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools:$PATH"
protoc -I fsm/fsmpb --go_out=fsm/fsmpb --go_opt=paths=source_relative log.proto snapshot.proto
protoc -I rpc/taskraftv1 --go_out=rpc/taskraftv1 --go_opt=paths=source_relative \
	--go-grpc_out=rpc/taskraftv1 --go-grpc_opt=paths=source_relative \
	task.proto worker.proto queue.proto cluster.proto
