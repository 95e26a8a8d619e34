#!/usr/bin/env bash
# Seeds one bug after the other (build tag mutant) and looks whether it is found: in the
# state machine by its simulator, in the masters and the SDK by the simulator of clusters.
# All must be found, and nothing where there is no bug. Arguments: the bugs to seed; without
# them all are.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# id, then the bug; S… is the statement of docs/invariants.md that it breaks, W… a word
# that has no statement of its own, B… one of docs/broadcast.md.
mutants=(
	'none|no bug at all'
	'M3|an entry is dropped when a snapshot is restored'
	'M5|a completion ignores its fence'
	'M6|the fence is not raised when a task is assigned again'
	'M12|the table reads a clock of its own'
	'M13|the choice of a task follows the order of a map'
	'M14|request ids are lost with a snapshot'
	'M15|lost workers are not counted'
	'M16|a schedule fires again under a new leader'
	'M17|a fire time that passed while nobody led is missed'
	'M18|a late worker overwrites the result'
	'M19|a cancelled task stays ready'
	'M25|retention deletes a task that has not ended'
	'M26|the sign of a priority is lost'
	'S3|other content under one request id is taken for a repeat'
	'S8|one attempt more than allowed'
	'S9|one task more of a concurrency key than allowed'
	'S10|the back-off does not grow'
	'S16|what follows a batch is submitted once more when it finishes again'
	'S20|a unique key is free while its task runs'
	'W1|a new process of a drained worker gets tasks'
	'W2|a sweep passes over what runs'
	'W3|a bulk retry takes the unique key of a task that lives'
	'W4|between queues waiting counts for nothing'
	'W5|a queue that had nothing catches up with its share'
	'B1|a late joiner is not told'
	'B2|a broadcast succeeds with one acknowledgement too few'
	'B3|a worker with all slots in use is not told'
)

# The same in the masters and in the SDK, for the simulator of clusters.
clusters=(
	'none|no bug at all'
	'M1|a report is answered before it is committed'
	'M2|the log is not synced'
	'M4|the names of the log'"'"'s files are not synced'
	'M7|sessions live by the wall clock'
	'M8|a new leader does not give sessions their time'
	'M9|a read asks no majority whether its master still leads'
	'M10|a read does not wait for what its reader has seen'
	'M11|a new leader serves before its first entry is applied'
	'M20|the SDK repeats a call without its number'
	'M21|checksums of the log are not looked at'
	'M22|a master whose disk was lost has its old id'
	'M23|nobody looks how long a write takes'
	'M24|the SDK repeats a submit of unknown outcome without its request id'
	'W6|a snapshot is installed whatever the log has already'
)

missed=0
wanted=" $* "

# chosen ID: whether this bug is to be seeded.
chosen() { [[ $wanted == '  ' || $wanted == *" $1 "* ]]; }

# judge ID WHAT FOUND prints what was found.
judge() {
	local verdict="FOUND $3"
	if [[ $1 == none ]]; then
		verdict=${3:-nothing found, as it should be}
		[[ -z $3 ]] || missed=1
	elif [[ -z $3 ]]; then
		verdict=MISSED missed=1
	fi
	printf 'mutants: %-4s %-55s %s\n' "$1" "$2" "$verdict"
}

# seed OUTPUT prints the first seed that failed, and why, or how the program died of
# one, in one short line. Nothing else counts as found: a run also fails that was never
# in some situation, or took too long.
seed() {
	sed -n 's/^sim[a-z-]*: FAILED \(seed .*\)/\1/p; /^panic: test timed out/d; /^panic: /p' "$1" | head -n 1 | cut -c1-110
}

module=github.com/taskraft/taskraft
for line in "${mutants[@]}"; do
	IFS='|' read -r id what <<<"$line"
	chosen "$id" || continue
	go build -tags mutant -ldflags "-X $module/fsm.mutant=$id" -o "$scratch/simulate" ./internal/sim/simulate
	status=0
	timeout 60 "$scratch/simulate" -first 1 -seeds 40 -for 0s -first-failure >"$scratch/out" 2>&1 || status=$?
	found=$(seed "$scratch/out")
	((status != 124)) || found=${found:-it never came to an end}
	[[ $id != none ]] || ((status == 0)) || found=${found:-exit status $status}
	judge "$id" "$what" "$found"
done
for line in "${clusters[@]}"; do
	IFS='|' read -r id what <<<"$line"
	chosen "$id" || continue
	go test -c -tags mutant -ldflags "-X $module/cluster/mutant.name=$id -X $module/client.mutant=$id" -o "$scratch/clustersim" ./internal/sim/clustersim
	status=0
	seeds=200 # a run ends with the first that fails
	[[ $id != W6 ]] || seeds=600 # snapshots that come late are rare
	[[ $id != none ]] || seeds=40
	"$scratch/clustersim" -test.run TestSeeds -test.timeout 20m -first 1 -seeds "$seeds" -failures 1 >"$scratch/out" 2>&1 || status=$?
	found=$(seed "$scratch/out")
	[[ $id != none ]] || ((status == 0)) || found=${found:-exit status $status}
	judge "$id" "$what" "$found"
done
exit "$missed"
