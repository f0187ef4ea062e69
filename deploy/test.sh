#!/usr/bin/env bash
# Installs what is missing, builds and tests.
# Usage: deploy/test.sh [PRESET[:LABEL]...]   PRESET: release, debug, asan, tsan or clang (builds only: its compiler
#                                             checks the annotations of locks); default: release
#                                             LABEL: of the tests to build and run (tests/CMakeLists.txt), A|B for several;
#                                             under sanitizers without those labelled long. Default: all, of the sanitizers
#                                             unit, cluster and damage
# Each has a budget of minutes on two cores and says so when it takes longer.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A minutes=([release]=38 [debug]=38 [asan]=25 [tsan]=25 [clang]=10 ['asan:unit|cluster']=20
  ['tsan:threads|cluster']=20)

# Kernels for GPUs are compiled for the card that is here; without one, one architecture shows that they compile.
architecture=80
command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 && architecture=native

run_preset() {
  local preset=${1%%:*} label="" leave_out="" emulated_gpus=ON
  [ "$1" = "$preset" ] || { label=${1#*:}; leave_out=long; }
  # GPUs that a CPU stands for take many minutes under AddressSanitizer.
  [[ "$1" != asan:* ]] || emulated_gpus=OFF
  local options=(-D CMAKE_CUDA_ARCHITECTURES="$architecture")
  [[ "$preset" != [at]san ]] || options+=(-D HEARTH_EMULATED_GPU="$emulated_gpus")
  cmake --preset "$preset" "${options[@]}"
  # The sanitizer presets are for the parts and the clusters, and damaged models.
  [[ "$1" != asan && "$1" != tsan ]] || label="unit|cluster|damage"
  local targets=()
  for part in ${label//|/ }; do
    [ "$1:$part" = tsan:damage ] || targets+=("${part}_tests")
  done
  cmake --build --preset "$preset" ${targets:+--target "${targets[@]}"}
  [ "$preset" = clang ] || ctest --preset "$preset" ${label:+-L "$label"} ${leave_out:+-LE "$leave_out"} ||
    { show_failures "$preset"; exit 1; }
}

# What went wrong once more, at the end, without what the tests said beside it.
show_failures() {
  local build=build/$1
  [ "$1" != release ] || build=build
  echo "deploy/test.sh: what failed:" >&2
  grep -hE -A 12 ': Failure$|^(FAIL|ERROR): |^(✖|not ok) |(Thread|Address|Leak)Sanitizer:|runtime error:' \
    "$build/Testing/Temporary/LastTest.log" | tail -n 150 >&2
}

[ $# -gt 0 ] || set -- release
deploy/install-dependencies.sh --tests
for preset in "$@"; do
  [ -n "${minutes[$preset]:-}" ] || { echo "deploy/test.sh: no $preset; there are: ${!minutes[*]}" >&2; exit 2; }
  started=$SECONDS
  run_preset "$preset"
  took=$(((SECONDS - started + 59) / 60))
  [ "$took" -le "${minutes[$preset]}" ] || echo "deploy/test.sh: $preset is over its budget of ${minutes[$preset]} minutes" >&2
  echo "deploy/test.sh: $preset passed in $took minutes"
done
