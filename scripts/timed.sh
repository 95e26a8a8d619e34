#!/usr/bin/env bash
# timed.sh NAME COMMAND...: runs the command, then says on stderr how long it took.
set -uo pipefail
name=$1
shift
start=$(date +%s%N)
"$@"
status=$?
ms=$((($(date +%s%N) - start) / 1000000))
verdict=took
((status == 0)) || verdict="failed (exit status $status) after"
printf '%s: %s %d.%03d s\n' "$name" "$verdict" $((ms / 1000)) $((ms % 1000)) >&2
exit "$status"
