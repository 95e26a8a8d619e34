#!/usr/bin/env bash
# timed.sh NAME [-limit SECONDS] COMMAND...: runs the command, then says on stderr how
# long it took. When it takes longer than the limit, times TIME_FACTOR (default 1), it
# and what it started get SIGQUIT, on which Go programs print what their goroutines do,
# 15 s later SIGKILL, and the exit status is 124.
set -uo pipefail
name=$1
shift
limit=
if [[ ${1-} == -limit ]]; then
	factor=${TIME_FACTOR:-1}
	[[ $factor =~ ^[0-9]+([.][0-9]+)?$ && $factor =~ [1-9] ]] || {
		echo "$name: TIME_FACTOR=$factor: want a number above 0, such as 1.5" >&2
		exit 2
	}
	limit=$(awk -v s="$2" -v f="$factor" 'BEGIN { printf "%.3f", s * f }')
	shift 2
	# timeout leads a process group of its own, so that it can signal all of it: what
	# ends this script must be passed on.
	set -- timeout --signal=QUIT --kill-after=15 "$limit" "$@"
fi
start=$(date +%s%N)
if [[ -n $limit ]]; then
	"$@" &
	child=$!
	trap 'kill -TERM "$child" 2>/dev/null' INT TERM QUIT HUP
	wait "$child"
	status=$?
	while kill -0 "$child" 2>/dev/null; do # a signal ended the wait
		wait "$child"
		status=$?
	done
	((status == 0)) || kill -KILL -- "-$child" 2>/dev/null # who is left of its group: a shell's background jobs ignore SIGQUIT
else
	"$@"
	status=$?
fi
ms=$((($(date +%s%N) - start) / 1000000))
verdict=took
((status == 0)) || verdict="failed (exit status $status) after"
printf '%s: %s %d.%03d s\n' "$name" "$verdict" $((ms / 1000)) $((ms % 1000)) >&2
if [[ -n $limit ]] && awk -v ms="$ms" -v limit="$limit" 'BEGIN { exit ms < limit * 1000 }' && ((status != 0)); then
	printf '%s: was ended at its limit of %s s: the share of make test that it has on two quiet cores (CONTRIBUTING.md).\n' "$name" "${limit%.000}" >&2
	printf '%s: run it alone on a quiet machine; on a slower one set TIME_FACTOR, as in TIME_FACTOR=2 make %s; else make it faster.\n' "$name" "$name" >&2
	status=124
fi
exit "$status"
