#include "engine/base/freed_memory.h"

#include <malloc.h>

namespace hearth {

namespace {

// Steps allocate nothing, so threads seldom meet there.
constexpr int kPools = 2;

}  // namespace

void ReturnFreedMemory() { malloc_trim(0); }

void KeepFewPools() { mallopt(M_ARENA_MAX, kPools); }

}  // namespace hearth
