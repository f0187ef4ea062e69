#!/usr/bin/env bash
# Gathers what tries Hearth on a machine that has an NVIDIA driver and nothing else: the programs of this build, the shared
# libraries that they need (but glibc's) and run.sh, in build/hearth-gpu.tar.xz. Build first, with a CUDA toolkit:
#   cmake --build --preset release --target hearth-model gpu_test conformance_run gpu_bench
# Usage: deploy/gpu/pack.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

programs=(build/bin/hearth-model build/tests/gpu_test build/tests/conformance_run build/bench/gpu_bench)
for program in "${programs[@]}"; do
  [ -x "$program" ] || { echo "deploy/gpu/pack.sh: there is no $program; build it first" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/hearth-gpu
mkdir -p "$to/lib"
cp "${programs[@]}" "$to"
strip "${programs[@]/#*\//$to/}"
cp deploy/gpu/run.sh "$to"

# Libraries of glibc belong to the machine's kernel and loader, and go by its own.
glibc='^(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv))\.so'
ldd "${programs[@]}" | awk '$2 == "=>" { print $1, $3 }' | sort -u | while read -r name path; do
  [[ $name =~ $glibc ]] && continue
  [ -e "$path" ] || { echo "deploy/gpu/pack.sh: $name, which the programs need, is not here" >&2; exit 1; }
  cp -L "$path" "$to/lib/$name"
done

commit=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit+=-changed
echo "$commit" >"$to/commit"
# The newest glibc that any of it asks for.
needs=$(objdump -T "$to"/lib/* "${programs[@]/#*\//$to/}" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)

tar -C "$work" -cJf build/hearth-gpu.tar.xz hearth-gpu
echo "build/hearth-gpu.tar.xz: $(du -h build/hearth-gpu.tar.xz | cut -f1), commit $commit, for machines with ${needs/_/ } or newer"
echo "on such a machine: tar xJf hearth-gpu.tar.xz && hearth-gpu/run.sh [MODEL.gguf...]"
