#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests.
# Usage: deploy/test.sh [PRESET]      PRESET: release (default), debug, asan or tsan
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:-release}
deploy/install-dependencies.sh
cmake --preset "$preset"
cmake --build --preset "$preset"
# The sanitizer presets run what they are for: the parts and the clusters.
labels=()
case "$preset" in asan | tsan) labels=(-L 'unit|cluster') ;; esac
ctest --preset "$preset" "${labels[@]}"
