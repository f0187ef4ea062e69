#!/usr/bin/env bash
# Installs what Hearth is built and tested with, from Debian's own packages (Debian 12 or newer).
# Usage: deploy/install-dependencies.sh [--tests]    (as root, or as a user who may use sudo)
#        --tests: what only tests use as well: Chromium for the dashboard, etcd for coordinators that share their state
set -euo pipefail

packages=(
  build-essential clang libclang-rt-dev lld cmake ninja-build pkg-config git ca-certificates
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libabsl-dev coinor-libcbc-dev libhwy-dev libpcre2-dev libssl-dev liburing-dev libxxhash-dev libcurl4-openssl-dev
  nlohmann-json3-dev prometheus-cpp-dev libcli11-dev libtomlplusplus-dev libspdlog-dev libsqlite3-dev
  libgtest-dev libgmock-dev libbenchmark-dev libeigen3-dev
  python3 python3-numpy python3-grpcio python3-protobuf python3-jinja2 python3-jsonschema curl
)

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
# Tests of the HTTP face use node and npm, from Debian or elsewhere.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
browser=no etcd=no
if [ "${1:-}" = --tests ]; then
  command -v chromium >/dev/null || browser=yes
  command -v etcd >/dev/null || etcd=yes
fi
boost=yes
installed libboost1.81-dev || boost=no
if [ ${#missing[@]} -eq 0 ] && [ "$boost" = yes ] && [ "$browser$etcd" = nono ]; then
  echo "All packages are installed."
  exit 0
fi

run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Run this as root, or install sudo. Missing packages: ${missing[*]}" >&2; exit 1; }
  run=(sudo)
fi
"${run[@]}" apt-get update -qq
# Debian 12 has Boost 1.81 beside its default 1.74; later releases have a newer default.
if [ "$boost" = no ]; then
  if apt-cache show libboost1.81-dev >/dev/null 2>&1; then missing+=(libboost1.81-dev); else missing+=(libboost-dev); fi
fi
# Where there is none the tests say so.
if [ "$browser" = yes ] && apt-cache show chromium >/dev/null 2>&1; then missing+=(chromium); fi
if [ "$etcd" = yes ] && apt-cache show etcd-server >/dev/null 2>&1; then missing+=(etcd-server); fi
echo "Installing: ${missing[*]}"
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
# Tests start their own: the service that comes with the package is not wanted.
if [ "$etcd" = yes ] && [ -d /run/systemd/system ]; then "${run[@]}" systemctl disable -q --now etcd || true; fi
