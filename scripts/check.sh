#!/usr/bin/env bash
# The quality gates. All of them run; any finding fails the whole.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools:$PATH"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=()

# gate NAME COMMAND...: a gate fails by its exit status.
gate() {
	local name=$1 start=$SECONDS
	shift
	if "$@" >"$scratch/out" 2>&1; then
		printf 'check: ok   %-12s %3d s\n' "$name" $((SECONDS - start)) >&2
	else
		printf 'check: FAIL %-12s %3d s\n' "$name" $((SECONDS - start)) >&2
		sed 's/^/    /' "$scratch/out" >&2
		failed+=("$name")
	fi
}

# quiet COMMAND...: fails also when the command prints anything.
quiet() {
	local out status=0
	out=$("$@" 2>&1) || status=$?
	[[ -z $out ]] || printf '%s\n' "$out"
	[[ $status == 0 && -z $out ]]
}

# Generated code differs between protoc releases only in the comment that names
# the release.
generated() {
	scripts/generate.sh "$scratch/gen" || return
	local file status=0
	while IFS= read -r file; do
		diff -u -I '^// .*protoc ' "$file" "$scratch/gen/$file" || status=1
	done < <(cd "$scratch/gen" && find . -name '*.pb.go' -o -name '*.pb.gw.go' -o -name openapi.json | sort)
	((status == 0)) || echo "run: make generate"
	return "$status"
}

# Code under build tags, which ./... leaves out: only the packages that have some.
tagged() {
	local tag dirs status=0
	for tag in vnext chaos mutant; do
		mapfile -t dirs < <(grep -rlE --include='*.go' "^//go:build .*\b$tag\b" cluster cmd client e2e fsm internal rpc web worker |
			xargs -r dirname | sort -u | sed 's|^|./|')
		if ((${#dirs[@]} == 0)); then
			echo "no file has the build tag $tag: take it out of scripts/check.sh"
			status=1
			continue
		fi
		go vet -tags "$tag" "${dirs[@]}" || status=1
	done
	return "$status"
}

gate vet go vet ./...
gate 'vet tags' tagged
gate 'bench vet' go -C bench vet ./...
gate staticcheck staticcheck ./...
gate gofumpt quiet gofumpt -l bench cmd client cluster e2e examples fsm internal rpc task tasktest web worker
gate style go test -count=1 ./internal/tidy
gate generated generated
gate 'go mod tidy' go mod tidy -diff
gate 'bench tidy' go -C bench mod tidy -diff
gate 'tools tidy' go -C tools mod tidy -diff
if go fix -diff ./internal/tidy >/dev/null 2>&1; then
	gate 'go fix' quiet go fix -diff ./...
fi

((${#failed[@]} == 0)) || {
	echo "check: failed: ${failed[*]}" >&2
	exit 1
}
