#ifndef HEARTH_ENGINE_KERNEL_BANDWIDTH_H_
#define HEARTH_ENGINE_KERNEL_BANDWIDTH_H_

#include "engine/base/thread_pool.h"

namespace hearth {

// What this machine can do with all threads of `pool`: the limits that kernels are compared with and that
// plans are made from. Each probe takes the best of several short runs and less than half a second in all.

// Bytes per second of plain vector reads from memory, in pieces of a buffer much larger than the caches (less
// on machines with little free memory). 0 if there is no memory for the buffer.
double MeasureReadBandwidth(ThreadPool& pool);

// Operations per second (a multiplication and an addition are two) of the fastest 8-bit integer products and
// of float32 multiply-add that the kernels use, on registers.
double MeasureInt8Rate(ThreadPool& pool);
double MeasureF32Rate(ThreadPool& pool);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_BANDWIDTH_H_
