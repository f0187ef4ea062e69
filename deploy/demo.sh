#!/usr/bin/env bash
# Hearth's main job on one machine: builds it, starts a coordinator and a worker as two processes (the worker has no
# model file), shows the cluster and the plan, streams a passage from the demo model and shows who computed what.
# Usage: deploy/demo.sh [--emulated-gpu] [PROMPT]
#   --emulated-gpu   gives the coordinator a GPU beside its CPU: not a real one, its kernels run slowly on the CPU
set -euo pipefail
cd "$(dirname "$0")/.."

devices=()
tokens=160
if [ "${1:-}" = --emulated-gpu ]; then
  shift
  # Planned as a card that reads 1 TB/s and has room for a part of the model.
  devices=(--slots 1 --device cpu --device "gpu0,kind=emulated-gpu,memory=8MiB,bandwidth=1T")
  tokens=32
fi
prompt=${1:-And it came to pass in those days, that}
model=deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf

deploy/install-dependencies.sh
cmake --preset release
cmake --build --preset release --target hearthd hearth

state=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$state"
}
trap stop EXIT

# start NAME ARGUMENTS...: a daemon with a state directory of its own; waits until it says where it listens.
start() {
  local name=$1
  shift
  build/bin/hearthd --name "$name" --state-dir "$state/$name" --listen 127.0.0.1:0 --http off "$@" >"$state/$name.log" 2>&1 &
  local pid=$!
  pids+=("$pid")
  for _ in $(seq 300); do
    [ -s "$state/$name/port" ] && break
    kill -0 "$pid" 2>/dev/null || { echo "hearthd '$name' did not start:" >&2; cat "$state/$name.log" >&2; exit 1; }
    sleep 0.1
  done
  [ -s "$state/$name/port" ] || { echo "hearthd '$name' is not ready after 30 s, see its log:" >&2; cat "$state/$name.log" >&2; exit 1; }
  port=$(cat "$state/$name/port")
}

start coordinator --model "$model" --use-every-host "${devices[@]}"
coordinator=127.0.0.1:$port
start worker --join "$coordinator"

hearth() { build/bin/hearth --server "$coordinator" "$@"; }

if [ ${#devices[@]} -gt 0 ]; then
  printf '\n== The GPU is an emulation: it is planned like a card, and computes what a card computes, far slower than the CPU\n'
fi
printf '\n== Waiting until the worker has its share of the model\n'
hearth status --wait-hosts 2 --timeout 60
printf '\n== The plan\n'
hearth plan
printf '\n== A passage, streamed\n'
hearth generate --max-tokens "$tokens" --temperature 0.7 --seed 7 "$prompt"
sleep 1 # a worker reports what it has computed with its next sync
printf '\n== Neurons of each layer, and where they were computed\n'
hearth status --neurons
