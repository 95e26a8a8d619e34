#!/usr/bin/env bash
# cluster.sh: a cluster of three masters as separate processes on this machine.
#
#   up             start the masters that do not run; returns when a leader serves
#   status         what each master says of itself
#   kill-leader    kill -9 the leader
#   restart NAME   stop a master (SIGTERM), if it runs, and start it
#   logs           follow the masters' logs until Ctrl-C
#   down           stop all (SIGTERM); the data stays
#
# CLUSTER_BIN=FILE starts another version than bin/taskraft.
#
# Data, logs and pid files lie in CLUSTER_DIR (default .data/cluster). The masters
# n1, n2, n3 listen from CLUSTER_PORT (default 7400) on: gRPC on 7400, 7410, 7420,
# Raft on the next port, HTTP on the one after. Only processes that this script
# started are ever signalled.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${CLUSTER_DIR:-.data/cluster}
port=${CLUSTER_PORT:-7400}
bin=${CLUSTER_BIN:-bin/taskraft}
names=(n1 n2 n3)

# offset NAME: the distance of its ports from the first master's.
offset() { echo $(((${1#n} - 1) * 10)); }
grpc() { echo "127.0.0.1:$((port + $(offset "$1")))"; }
raft() { echo "127.0.0.1:$((port + $(offset "$1") + 1))"; }
http() { echo "127.0.0.1:$((port + $(offset "$1") + 2))"; }
# each FUNCTION: what it prints for every name, joined by commas.
each() {
	local name list=()
	for name in "${names[@]}"; do list+=("$("$1" "$name")"); done
	(IFS=,; echo "${list[*]}")
}
peer() { echo "$1=$(raft "$1")"; }

die() {
	echo "cluster.sh: $*" >&2
	exit 1
}

# known NAME: dies unless it is a master of ours.
known() {
	[[ " ${names[*]} " == *" ${1:-} "* ]] || die "no master ${1:-given}; there are ${names[*]}"
}

# pid NAME: its process id, if the pid file's process is really that master.
pid() {
	local pid
	pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" |
		grep -qF -- " master --name $1 --data-dir $dir/$1 " || return 1
	echo "$pid"
}

start() {
	pid "$1" >/dev/null && return
	mkdir -p "$dir"
	setsid "$bin" master --name "$1" --data-dir "$dir/$1" --peers "$(each peer)" \
		--grpc-addr "$(grpc "$1")" --raft-addr "$(raft "$1")" --http-addr "$(http "$1")" \
		>>"$dir/$1.log" 2>&1 </dev/null &
	echo $! >"$dir/$1.pid"
	# On a busy machine it may be a moment before the process is the master.
	until pid "$1" >/dev/null || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
	echo "started $1: gRPC $(grpc "$1"), http://$(http "$1"), pid $!"
}

# stop NAME SIGNAL: sends the signal and waits until the process is gone.
stop() {
	local pid
	pid=$(pid "$1") || return 0
	kill -s "$2" "$pid"
	for ((i = 0; i < 300; i++)); do
		pid "$1" >/dev/null || {
			rm -f "$dir/$1.pid"
			echo "stopped $1 (SIG$2, pid $pid)"
			return
		}
		sleep 0.1
	done
	die "$1 (pid $pid) has not stopped after 30 s; see $dir/$1.log"
}

leader() {
	"$bin" cluster status --masters "$(each grpc)" -o json 2>/dev/null |
		sed -n 's/.*"leader": *"\([a-z0-9-]\{1,\}\)".*/\1/p' | head -n 1
}

# await_leader: waits up to 30 s; dies at once when a master has ended.
await_leader() {
	local name leader
	for ((i = 0; i < 150; i++)); do
		leader=$(leader) || true
		if [[ -n $leader ]]; then
			echo "$leader leads; TASKRAFT_MASTERS=$(each grpc)"
			return
		fi
		for name in "$@"; do
			pid "$name" >/dev/null || {
				tail -n 20 "$dir/$name.log" >&2
				die "$name has ended; its log is $dir/$name.log"
			}
		done
		sleep 0.2
	done
	die "no leader after 30 s; the logs are in $dir"
}

case ${1:-} in
up)
	[[ -x $bin ]] || make build
	for name in "${names[@]}"; do start "$name"; done
	await_leader "${names[@]}"
	;;
status) exec "$bin" cluster status --masters "$(each grpc)" ;;
kill-leader)
	name=$(leader) || true
	[[ -n $name ]] || die "nobody leads"
	pid "$name" >/dev/null || die "$name leads, but was not started by this script"
	stop "$name" KILL
	;;
restart)
	known "${2:-}"
	stop "$2" TERM
	start "$2"
	await_leader "$2"
	;;
logs) exec tail -n 20 -F "$dir"/n?.log ;;
down)
	for name in "${names[@]}"; do stop "$name" TERM; done
	;;
*)
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
	;;
esac
