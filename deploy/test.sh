#!/usr/bin/env bash
# Installs what is missing, builds and tests.
# Usage: deploy/test.sh [PRESET[:LABEL]...]   PRESET: release, debug, asan, tsan or clang (builds only: its compiler
#                                             checks the annotations of locks); default: release
#                                             LABEL: of the tests to build and run (tests/CMakeLists.txt); default: all,
#                                             of the sanitizers unit, cluster and damage
# Each has a budget of minutes on two cores and says so when it takes longer.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A minutes=([release]=20 [debug]=25 [asan]=25 [tsan]=25 [clang]=10 [tsan:threads]=12 [asan:input]=6)

run_preset() {
  local preset=${1%%:*} label=""
  [ "$1" = "$preset" ] || label=${1#*:}
  cmake --preset "$preset"
  cmake --build --preset "$preset" ${label:+--target "${label}_tests"}
  case "$1" in
    clang) ;;
    *:*) ctest --preset "$preset" -L "$label" ;;
    # The sanitizer presets run what they are for: the parts and the clusters, and damaged models.
    asan | tsan) ctest --preset "$preset" -L 'unit|cluster|damage' ;;
    *) ctest --preset "$preset" ;;
  esac
}

[ $# -gt 0 ] || set -- release
deploy/install-dependencies.sh
for preset in "$@"; do
  [ -n "${minutes[$preset]:-}" ] || { echo "deploy/test.sh: no $preset; there are: ${!minutes[*]}" >&2; exit 2; }
  started=$SECONDS
  run_preset "$preset"
  took=$(((SECONDS - started + 59) / 60))
  [ "$took" -le "${minutes[$preset]}" ] || echo "deploy/test.sh: $preset is over its budget of ${minutes[$preset]} minutes" >&2
  echo "deploy/test.sh: $preset passed in $took minutes"
done
