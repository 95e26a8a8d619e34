#!/usr/bin/env bash
# bench-peers.sh [FLAGS]: builds bench/ and runs it: Taskraft and its peers on
# the same work. `scripts/bench-peers.sh -help` lists the flags.
#
# As root it first installs the peers that come as Debian packages and are
# missing; INSTALL=no prevents that. No service of theirs is used: the benchmark
# starts its own processes. A peer that is missing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

services=(redis-server beanstalkd postgresql)

missing() {
	command -v redis-server >/dev/null || echo redis-server
	command -v beanstalkd >/dev/null || echo beanstalkd
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || echo postgresql
}

running() {
	local service
	for service in "${services[@]}"; do
		if service "$service" status >/dev/null 2>&1; then echo "$service"; fi
	done
}

# install PACKAGE...: without letting the packages start their services, and
# stopping those that start all the same.
install() {
	local before policy='' service status=0
	before=$(running)
	if [[ ! -e /usr/sbin/policy-rc.d ]]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	echo "bench-peers: installing $*" >&2
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } \
		</dev/null >&2 || status=$?
	[[ -z $policy ]] || rm -f "$policy"
	while IFS= read -r service; do
		[[ -z $service ]] || grep -qx "$service" <<<"$before" || service "$service" stop >&2 || status=$?
	done < <(running)
	((status == 0)) || echo "bench-peers: not everything could be installed; what is missing is skipped" >&2
}

mapfile -t packages < <(missing)
if ((${#packages[@]} > 0)) && [[ ${INSTALL:-yes} == yes ]]; then
	if ((EUID == 0)) && command -v apt-get >/dev/null; then
		install "${packages[@]}"
	else
		echo "bench-peers: missing, to be installed as root: ${packages[*]}" >&2
	fi
fi

go -C bench build -o ../bin/bench-peers .
exec bin/bench-peers "$@"
