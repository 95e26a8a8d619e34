#!/usr/bin/env bash
# generate.sh [DIR]: regenerates every .pb.go from its .proto, in place or under DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
export PATH="$PWD/.tools:$PATH"
mkdir -p "$out/fsm/fsmpb" "$out/rpc/taskraftv1"
protoc -I fsm/fsmpb --go_out="$out/fsm/fsmpb" --go_opt=paths=source_relative log.proto snapshot.proto
protoc -I rpc/taskraftv1 --go_out="$out/rpc/taskraftv1" --go_opt=paths=source_relative \
	--go-grpc_out="$out/rpc/taskraftv1" --go-grpc_opt=paths=source_relative \
	task.proto worker.proto queue.proto cluster.proto batch.proto dead.proto schedule.proto
