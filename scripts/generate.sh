#!/usr/bin/env bash
# generate.sh [DIR]: regenerates, in place or under DIR, every .pb.go from its
# .proto, and the HTTP API (web/gateway, web/api/openapi.json) from web/routes.yaml.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
export PATH="$PWD/.tools:$PATH"
mkdir -p "$out/fsm/fsmpb" "$out/rpc/taskraftv1" "$out/web/gateway" "$out/web/api"
protoc -I fsm/fsmpb --go_out="$out/fsm/fsmpb" --go_opt=paths=source_relative log.proto snapshot.proto

# The log of the imagined next version, for tests of upgrades (docs/upgrade.md).
next=$(mktemp -d)
trap 'rm -rf "$next"' EXIT
sed -f fsm/fsmpb/vnext.sed fsm/fsmpb/log.proto >"$next/log.proto"
protoc -I "$next" --go_out="$next" --go_opt=paths=source_relative log.proto
(echo '//go:build vnext' && echo && cat "$next/log.pb.go") >"$out/fsm/fsmpb/log_vnext.pb.go"
sed -i '1i //go:build !vnext\n' "$out/fsm/fsmpb/log.pb.go"

api=(task worker queue cluster batch dead schedule event)
api=("${api[@]/%/.proto}")
protoc -I rpc/taskraftv1 --go_out="$out/rpc/taskraftv1" --go_opt=paths=source_relative \
	--go-grpc_out="$out/rpc/taskraftv1" --go-grpc_opt=paths=source_relative "${api[@]}" executor.proto

# The gateway is a package of its own: an SDK that imports the API's messages links
# no HTTP server.
routes=grpc_api_configuration=web/routes.yaml
rm -f "$out"/web/gateway/*.pb.gw.go
protoc -I rpc/taskraftv1 --grpc-gateway_out="$out/web/gateway" \
	--grpc-gateway_opt=paths=source_relative,standalone=true,$routes "${api[@]}"
sed -i 's/^\(p\|P\)ackage taskraftv1/\1ackage gateway/' "$out"/web/gateway/*.pb.gw.go
protoc -I rpc/taskraftv1 --openapiv2_out="$out/web/api" \
	--openapiv2_opt=allow_merge=true,merge_file_name=openapi,json_names_for_fields=false,simple_operation_ids=true,openapi_naming_strategy=simple,disable_default_errors=true,$routes "${api[@]}"
mv "$out/web/api/openapi.swagger.json" "$out/web/api/openapi.json"
