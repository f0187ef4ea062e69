#ifndef HEARTH_TESTS_CUDA_EMU_SANITIZERS_H_
#define HEARTH_TESTS_CUDA_EMU_SANITIZERS_H_

#include <cstddef>

// What the sanitizers must be told about fibers, as constants and functions that are empty without a
// sanitizer.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEARTH_EMULATOR_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define HEARTH_EMULATOR_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(HEARTH_EMULATOR_ASAN)
#define HEARTH_EMULATOR_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(HEARTH_EMULATOR_TSAN)
#define HEARTH_EMULATOR_TSAN 1
#endif

#ifdef HEARTH_EMULATOR_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old, size_t* size_old);
void __asan_poison_memory_region(void const volatile* address, size_t size);
void __asan_unpoison_memory_region(void const volatile* address, size_t size);
}
#endif

#ifdef HEARTH_EMULATOR_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
// The scheduler's own data is seen by all fibers, which TSan takes for threads: it does not check these
// functions.
#define HEARTH_EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))
#else
#define HEARTH_EMULATOR_UNCHECKED
#endif

namespace hearth::cuda_emu::internal {

#ifdef HEARTH_EMULATOR_ASAN
constexpr bool kAddressSanitizer = true;
inline void PoisonMemory(void* address, size_t bytes) { __asan_poison_memory_region(address, bytes); }
inline void UnpoisonMemory(void* address, size_t bytes) { __asan_unpoison_memory_region(address, bytes); }
#else
constexpr bool kAddressSanitizer = false;
inline void PoisonMemory(void* /*address*/, size_t /*bytes*/) {}
inline void UnpoisonMemory(void* /*address*/, size_t /*bytes*/) {}
#endif

#ifdef HEARTH_EMULATOR_TSAN
constexpr bool kThreadSanitizer = true;
// What was done before ReleaseTo(x) happens before what is done after AcquireFrom(x).
inline void ReleaseTo(void* address) { __tsan_release(address); }
inline void AcquireFrom(void* address) { __tsan_acquire(address); }
#else
constexpr bool kThreadSanitizer = false;
inline void ReleaseTo(void* /*address*/) {}
inline void AcquireFrom(void* /*address*/) {}
#endif

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_SANITIZERS_H_
