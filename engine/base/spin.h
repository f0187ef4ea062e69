#ifndef HEARTH_ENGINE_BASE_SPIN_H_
#define HEARTH_ENGINE_BASE_SPIN_H_

namespace hearth {

// Tells the core that this thread is in a short busy wait.
inline void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_SPIN_H_
