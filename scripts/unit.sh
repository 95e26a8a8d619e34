#!/usr/bin/env bash
# All tests but e2e's, with the race detector (which needs cgo and a C compiler).
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t packages < <(go list ./... | grep -v '/e2e$')
CGO_ENABLED=1 exec go test -race -shuffle=on -timeout 10m "$@" "${packages[@]}"
