#!/usr/bin/env bash
# Tries Hearth on this machine's GPU: needs an NVIDIA driver and nothing else. Tests the kernels, times them, times each
# model on the CPU, on the GPU and on both with a quarter and a half of the model's bytes of GPU memory, checks memory and
# races where compute-sanitizer is found, and writes results-GPU-COMMIT.txt into the current folder.
# Usage: hearth-gpu/run.sh [MODEL.gguf...]     of the folder that deploy/gpu/pack.sh made, or
#        deploy/gpu/run.sh [MODEL.gguf...]     beside hearth-gpu.tar.xz, or in a source tree with build/hearth-gpu.tar.xz
# Ends with 1 where there is no GPU or a test fails, after all the rest has run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ ! -e "$here/gpu_test" ]; then
  for archive in "$here/hearth-gpu.tar.xz" "$here/../../build/hearth-gpu.tar.xz"; do
    [ -e "$archive" ] || continue
    tar -C "$(dirname "$archive")" -xJf "$archive"
    "$(dirname "$archive")/hearth-gpu/run.sh" "$@"
    exit
  done
  echo "run.sh: neither the programs nor hearth-gpu.tar.xz are beside it; deploy/gpu/pack.sh makes them" >&2
  exit 1
fi
export LD_LIBRARY_PATH=$here/lib

fail() {
  echo "run.sh: $1" >&2
  exit 1
}
for model in "$@"; do [ -r "$model" ] || fail "there is no model $model"; done
command -v nvidia-smi >/dev/null || fail "no GPU: there is no NVIDIA driver here (nvidia-smi is missing)"
gpu=$(nvidia-smi --id=0 --query-gpu=name --format=csv,noheader 2>&1) || fail "no GPU: $(head -1 <<<"$gpu")"
driver=$(nvidia-smi --id=0 --query-gpu=driver_version --format=csv,noheader)
memory=$(nvidia-smi --id=0 --query-gpu=memory.total --format=csv,noheader)

commit=$(cat "$here/commit")
results=$PWD/results-$(tr -cs 'A-Za-z0-9\n' '-' <<<"$gpu")-$commit.txt
log=${results%.txt}.log
: >"$log"
failed=0

# row WHAT OUTCOME: a line of the table.
row() { printf '%-44s %s\n' "$1" "$2" | tee -a "$results"; }
# tests WHAT [COMMAND...]: the tests on the GPU, run by a command; output into the log, a row with the outcome. A test that
# is skipped has not passed.
tests() {
  local what=$1 outcome output
  shift
  printf '\n== %s\n' "$what" >>"$log"
  if output=$("$@" "$here/gpu_test" '--gtest_filter=*Cuda*' 2>&1) && ! grep -q 'SKIPPED' <<<"$output"; then
    outcome=$(grep '^\[  PASSED  \]' <<<"$output" | sed 's/.*\] *//; s/\.$//')" passed"
  else
    outcome="FAILED, see $(basename "$log")" failed=1
  fi
  printf '%s\n' "$output" >>"$log"
  row "$what" "$outcome"
}
# speed WHAT MODEL DEVICES: a row with the tokens per second of a model.
speed() {
  local outcome
  printf '\n== %s\n' "$1" >>"$log"
  if outcome=$("$here/hearth-model" bench "$2" ${3:+--devices "$3"} --kv-type f16 2>&1); then
    printf '%s\n' "$outcome" >>"$log"
    row "$1" "$(grep -E '^(prefill|decode)' <<<"$outcome" | tr -s ' ' | paste -sd';' | sed 's/;/; /g')"
  else
    printf '%s\n' "$outcome" >>"$log"
    row "$1" "FAILED: $(tail -1 <<<"$outcome")"
    failed=1
  fi
}

cat >"$results" <<END
Hearth $commit on $gpu ($memory), driver $driver, $(date -u '+%Y-%m-%d %H:%M UTC')
$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ *//'), $(nproc) processors

END
cat "$results"

tests "tests of the kernels and of the device"
for model in "$@"; do
  name=$(basename "$model") bytes=$(stat -Lc %s "$model")
  speed "$name, CPU" "$model" ""
  speed "$name, GPU alone" "$model" "gpu0,kind=gpu"
  for percent in 25 50; do
    speed "$name, CPU and $percent % on the GPU" "$model" "cpu;gpu0,kind=gpu,memory=$((bytes * percent / 100))"
  done
done
sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)
for tool in memcheck racecheck; do
  if [ -n "$sanitizer" ]; then
    tests "compute-sanitizer $tool" "$sanitizer" --tool "$tool" --error-exitcode 9
  else
    row "compute-sanitizer $tool" "not run: not found"
  fi
done
printf '\n' | tee -a "$results"
"$here/gpu_bench" 2>&1 | tee -a "$results" || failed=1
printf '\nresults: %s\n' "$results"
exit $failed
