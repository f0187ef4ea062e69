#include "engine/kernel/prefetch.h"

namespace hearth {

bool WantsPrefetch() {
#if defined(__x86_64__)
  static const bool amd = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("amd") != 0;
  }();
  return !amd;
#else
  return true;
#endif
}

}  // namespace hearth
