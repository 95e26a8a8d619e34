#!/usr/bin/env bash
# Installs what check and test need and this machine lacks:
#   .tools/   the Go tools pinned in tools/go.mod
#   protoc    with the well-known types, and a C compiler for the race detector,
#             both from the distribution (apt-get, as root or through sudo)
#   python3   and curl, which tests of examples and pages run
#   promtool  which checks metrics and alerts
#   tmux      in which taskraft top is tested
#   strace    by which a test sees what is synced, and ip, by which make chaos parts networks
# and, with the argument browser, chromium and axe-core, which tests of the dashboard use
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || {
	echo "install-tools: go is not installed: see https://go.dev/doc/install" >&2
	exit 1
}

# The stamp names the tools and the compiler that built them.
stamp="$(go version) $(cat tools/go.mod tools/go.sum | cksum)"
if [[ "$(cat .tools/stamp 2>/dev/null)" != "$stamp" ]]; then
	echo "install-tools: building the tools of tools/go.mod into .tools" >&2
	mkdir -p .tools
	(cd tools && GOBIN="$PWD/../.tools" go install tool)
	echo "$stamp" >.tools/stamp
fi

missing=()
well_known=/usr/include/google/protobuf/duration.proto
if ! command -v protoc >/dev/null; then
	missing+=(protobuf-compiler libprotobuf-dev)
elif [[ "$(command -v protoc)" == /usr/bin/protoc && ! -e $well_known ]]; then
	missing+=(libprotobuf-dev)
fi
cc=$(go env CC)
command -v "${cc%% *}" >/dev/null || missing+=(gcc libc6-dev)
# The example worker and the pages of docs/.
command -v python3 >/dev/null || missing+=(python3)
command -v curl >/dev/null || missing+=(curl)
command -v promtool >/dev/null || missing+=(prometheus)
command -v tmux >/dev/null || missing+=(tmux)
command -v strace >/dev/null || missing+=(strace)
command -v ip >/dev/null || missing+=(iproute2)
# With the argument browser: what the tests of the dashboard need, too.
if [[ ${1:-} == browser ]]; then
	command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
	command -v npm >/dev/null || [[ -e .tools/axe.min.js ]] || missing+=(npm)
fi

if ((${#missing[@]} > 0)); then
	as_root=()
	if ((EUID != 0)); then
		sudo -n true 2>/dev/null || {
			echo "install-tools: please install, as root: ${missing[*]}" >&2
			exit 1
		}
		as_root=(sudo -n)
	fi
	command -v apt-get >/dev/null || {
		echo "install-tools: no apt-get here; please install the equivalents of: ${missing[*]}" >&2
		exit 1
	}
	echo "install-tools: installing ${missing[*]}" >&2
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# Not in the repository: it is large, and only tests run it.
if [[ ${1:-} == browser && ! -e .tools/axe.min.js ]]; then
	scratch=$(mktemp -d)
	npm pack --silent --pack-destination "$scratch" axe-core@4.14.1 >/dev/null
	tar -xzf "$scratch"/axe-core-*.tgz -C "$scratch" package/axe.min.js
	mv "$scratch/package/axe.min.js" .tools/axe.min.js
	rm -r "$scratch"
fi
