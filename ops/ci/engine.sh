#!/usr/bin/env bash
# Runs a command beside a Docker engine of its own: ops/ci/engine.sh COMMAND [ARGUMENT …]
#
# All that the engine has is in one temporary folder, and gone at the end; DOCKER_HOST names its
# socket. Needs root and dockerd, and a machine on which no other engine runs.
set -euo pipefail

home=$(mktemp -d)
chmod 711 "$home"
had_bridge=$(ip link show docker0 2>/dev/null || true)

stop() {
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null || true
  kill "$engine" 2>/dev/null || true
  wait "$engine" || true
  # dockerd ends its containerd, unless it was itself killed.
  kill "$(cat "$home/exec/containerd/containerd.pid" 2>/dev/null)" 2>/dev/null || true
  awk -v home="$home/" 'index($2, home) == 1 { print $2 }' /proc/mounts | sort --reverse \
    | xargs --no-run-if-empty umount --lazy
  rm --recursive --force "$home"
  [ -n "$had_bridge" ] || ip link delete docker0 2>/dev/null || true
}

export DOCKER_HOST="unix://$home/engine.sock"
# Should this script be killed, the engine is told to stop all the same.
setsid setpriv --pdeathsig TERM dockerd --host "$DOCKER_HOST" --pidfile "$home/engine.pid" \
  --data-root "$home/data" --exec-root "$home/exec" >"$home/engine.log" 2>&1 &
engine=$!
trap stop EXIT

for _ in {1..120}; do
  docker version >/dev/null 2>&1 && break
  kill -0 "$engine" 2>/dev/null || break
  sleep 0.5
done
if ! docker version >/dev/null 2>&1; then
  echo "the Docker engine did not start:" >&2
  tail -n 20 "$home/engine.log" >&2
  exit 1
fi

"$@"
