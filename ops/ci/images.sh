#!/usr/bin/env bash
# Builds the images that docker-compose.yml would pull, from Debian's packages, and runs a command
# that is told their names: ops/ci/images.sh COMMAND [ARGUMENT …]
#
# Needs root, debootstrap and a Docker engine. No image registry is asked.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$here/../..
suite=bookworm
name=celery-sagas-ci

work=$(mktemp -d)
debian=$work/debian
trap 'rm --recursive --force --one-file-system "$work"' EXIT

echo "Building Debian $suite with Python, PostgreSQL and Redis ..."
debootstrap --variant=minbase \
  --include=ca-certificates,python3,python3-venv,postgresql,redis-server \
  "$suite" "$debian" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
tar --directory "$debian" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists \
  --exclude=./usr/share/doc --exclude=./proc --exclude=./sys --create . \
  | docker import - "$name-debian" >/dev/null

# By the image's own Python, for the version decides what is needed; reached as this machine's
# settings of pip say. The image has none of them.
echo "Fetching wheels ..."
for file in /etc/resolv.conf /etc/pip.conf "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}"; do
  if [ -f "$file" ]; then
    install -D --mode=644 "$file" "$debian$file"
  fi
done
if [ -d "${PIP_FIND_LINKS:-}" ]; then
  cp --recursive --parents "$PIP_FIND_LINKS" "$debian"
fi
install -d "$debian/build/saga"
touch "$debian/build/saga/__init__.py"
cp "$project"/{pyproject.toml,constraints.txt,README.md,LICENSE} "$debian/build"
chroot "$debian" sh -c 'python3 -m venv /venv && cd /build && /venv/bin/pip download --quiet \
  --constraint constraints.txt --dest /wheels ".[application]" "hatchling>=1.27"'

export PYTHON_IMAGE=$name-python POSTGRES_IMAGE=$name-postgres REDIS_IMAGE=$name-redis
cp --recursive "$here/images" "$work/images"
mv "$debian/wheels" "$work/images/python/wheels"
for image in python postgres redis; do
  echo "Building $name-$image ..."
  docker build --quiet --build-arg "BASE=$name-debian" --tag "$name-$image" \
    "$work/images/$image" >/dev/null
done

rm --recursive --force --one-file-system "$work"
trap - EXIT
exec "$@"
