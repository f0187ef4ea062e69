#ifndef HEARTH_ENGINE_KERNEL_PREFETCH_H_
#define HEARTH_ENGINE_KERNEL_PREFETCH_H_

#include <cstdint>

#include "engine/base/thread_pool.h"

namespace hearth {

// Whether kernels that read several panels in turn should ask for their memory ahead of its use. No list of
// processors answers that. Measured, one token, four panels, one core: Intel (Sapphire Rapids) reads 12.7
// GB/s without and 18.4 with such requests, since its prefetchers stop at every page; AMD's Zen 4 reads 26
// without and 15 with, since its prefetchers follow four streams and the requests take the places of their
// own; Zen 5 in a virtual machine reads 16 without and 33 with. Results do not depend on it.
//
// What MeasurePrefetch has found, and before it a guess by the processor's maker. Thread-safe.
bool WantsPrefetch();

// Before so many bytes of weights are used: times products of a matrix larger than the caches with such
// requests and without, once in a process (about 0.2 s of all threads of `pool`); later calls, and calls for
// weights that caches mostly hold (256 MiB), return at once. Changes nothing where there is no memory for it.
// Thread-safe.
void MeasurePrefetch(uint64_t weight_bytes, ThreadPool& pool);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_PREFETCH_H_
