#!/usr/bin/env bash
# bench-compare.sh [BASE]: the Go benchmarks of the work tree against those of
# BASE (a commit; default HEAD), the same way and by turns, judged by benchstat.
# BENCH selects benchmarks (a regexp), PACKAGES the packages, COUNT the rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$(git rev-parse --verify "${1:-HEAD}^{commit}")
dir=.data/bench-compare
rm -rf "$dir"
mkdir -p "$dir/base"
trap 'rm -rf "$dir/base"' EXIT
git archive "$base" | tar -x -C "$dir/base"

read -ra packages <<<"${PACKAGES:-./fsm/... ./cluster/... ./rpc/...}"
run() { go test -run '^$' -bench "${BENCH:-.}" -benchmem -count 1 "${packages[@]}"; }
for ((round = 1; round <= ${COUNT:-6}; round++)); do
	echo "bench-compare: round $round of ${COUNT:-6}" >&2
	(cd "$dir/base" && run) >>"$dir/base.txt"
	run >>"$dir/tree.txt"
done
.tools/benchstat "base=$dir/base.txt" "tree=$dir/tree.txt"
