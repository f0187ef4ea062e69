#!/usr/bin/env bash
# Installs what is missing, builds and tests.
# Usage: deploy/test.sh [PRESET...]   PRESET: release, debug, asan, tsan or clang (builds only: its compiler checks the
#                                     annotations of locks); default: release
# Each preset has a budget of minutes on two cores and says so when it takes longer.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A minutes=([release]=20 [debug]=25 [asan]=25 [tsan]=25 [clang]=10)

run_preset() {
  cmake --preset "$1"
  cmake --build --preset "$1"
  case "$1" in
    clang) ;;
    # The sanitizer presets run what they are for: the parts and the clusters, and damaged models.
    asan | tsan) ctest --preset "$1" -L 'unit|cluster|damage' ;;
    *) ctest --preset "$1" ;;
  esac
}

[ $# -gt 0 ] || set -- release
deploy/install-dependencies.sh
for preset in "$@"; do
  [ -n "${minutes[$preset]:-}" ] || { echo "deploy/test.sh: no preset $preset; there are: ${!minutes[*]}" >&2; exit 2; }
  started=$SECONDS
  run_preset "$preset"
  took=$(((SECONDS - started + 59) / 60))
  [ "$took" -le "${minutes[$preset]}" ] || echo "deploy/test.sh: $preset is over its budget of ${minutes[$preset]} minutes" >&2
  echo "deploy/test.sh: $preset passed in $took minutes"
done
