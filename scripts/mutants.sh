#!/usr/bin/env bash
# Seeds one bug after the other (build tag mutant) and looks which the simulator
# finds. It must find all, and none where there is none..
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# id, then the bug, as INVARIANTS numbers and names it.
mutants=(
	'none|no bug at all'
	'M3|an entry is dropped when a snapshot is restored'
	'M5|a completion ignores its fence'
	'M6|the fence is not raised when a task is assigned again'
	'M14|request ids are lost with a snapshot'
	'M15|lost workers are not counted'
	'M18|a late worker overwrites the result'
	'M19|a cancelled task stays ready'
	'M26|the sign of a priority is lost'
	'S3|other content under one request id is taken for a repeat'
	'S8|one attempt more than allowed'
	'S9|one task more of a concurrency key than allowed'
	'S10|the back-off does not grow'
)
missed=0
for line in "${mutants[@]}"; do
	id=${line%%|*} what=${line#*|}
	go build -tags mutant -ldflags "-X github.com/taskraft/taskraft/fsm.mutant=$id" -o "$scratch/simulate" ./internal/sim/simulate
	status=0
	timeout 60 "$scratch/simulate" -first 1 -seeds 40 -for 0s -first-failure >"$scratch/out" 2>&1 || status=$?
	found=$(grep -m1 'FAILED seed' "$scratch/out" | sed 's/^sim: FAILED //' | cut -c1-110) || true
	if [[ $id == none ]]; then
		((status == 0)) || missed=1
		printf 'mutants: %-4s %-55s %s\n' "$id" "$what" "${found:-nothing found, as it should be}"
	elif [[ -n $found || $status == 124 ]]; then
		printf 'mutants: %-4s %-55s FOUND %s\n' "$id" "$what" "${found:-it never came to an end}"
	else
		missed=1
		printf 'mutants: %-4s %-55s MISSED\n' "$id" "$what"
	fi
done
exit "$missed"
