#ifndef HEARTH_TESTS_ENGINE_MODEL_ALLOCATION_COUNTER_H_
#define HEARTH_TESTS_ENGINE_MODEL_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace hearth {

// How often the program has called operator new. Linking allocation_counter.cc replaces it.
uint64_t AllocationCount();

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_MODEL_ALLOCATION_COUNTER_H_
