#ifndef HEARTH_ENGINE_KERNEL_PREFETCH_H_
#define HEARTH_ENGINE_KERNEL_PREFETCH_H_

namespace hearth {

// Whether kernels that read several panels in turn should ask for their memory ahead of its use. Measured: with
// one token and four panels an Intel core (Sapphire Rapids) reads 12.7 GB/s without and 18.4 with such requests,
// since its prefetchers stop at every page; an AMD core (Zen 4) 26 without and 15 with, since its prefetchers follow
// four streams and the requests take the places of their own. Other processors are treated like Intel's.
bool WantsPrefetch();

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_PREFETCH_H_
