#!/usr/bin/env bash
# Installs what is missing, builds and tests.
# Usage: deploy/test.sh [PRESET...]   PRESET: release, debug, asan, tsan or clang (builds only: its compiler checks the
#                                     annotations of locks); default: release asan tsan clang
# Each preset has a budget of minutes on two cores and fails when it takes longer.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A minutes=([release]=20 [debug]=25 [asan]=15 [tsan]=15 [clang]=8)

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
export -f run_preset

[ $# -gt 0 ] || set -- release asan tsan clang
deploy/install-dependencies.sh
for preset in "$@"; do
  [ -n "${minutes[$preset]:-}" ] || { echo "deploy/test.sh: no preset $preset; there are: ${!minutes[*]}" >&2; exit 2; }
  started=$SECONDS
  code=0
  timeout "${minutes[$preset]}m" bash -euo pipefail -c 'run_preset "$1"' bash "$preset" || code=$?
  if [ "$code" -eq 124 ]; then
    echo "deploy/test.sh: $preset took longer than its ${minutes[$preset]} minutes" >&2
  fi
  [ "$code" -eq 0 ] || exit "$code"
  echo "deploy/test.sh: $preset passed in $(((SECONDS - started + 59) / 60)) of ${minutes[$preset]} minutes"
done
