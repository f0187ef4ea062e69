#include "engine/base/freed_memory.h"

#include <malloc.h>

namespace hearth {

namespace {

// Steps allocate nothing, so threads seldom meet there.
constexpr int kPools = 2;
// Larger pieces have pages of their own, which go back when they are freed; and what a pool may keep of those
// that are not.
constexpr int kLargePieceBytes = 4 << 20;
constexpr int kKeptBytes = 8 << 20;

}  // namespace

void ReturnFreedMemory() { malloc_trim(0); }

void KeepFewPools() {
  mallopt(M_ARENA_MAX, kPools);
  mallopt(M_MMAP_THRESHOLD, kLargePieceBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
}

}  // namespace hearth
