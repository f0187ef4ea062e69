#ifndef HEARTH_ENGINE_BASE_THREAD_POOL_H_
#define HEARTH_ENGINE_BASE_THREAD_POOL_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace hearth {

// A fixed set of threads for the short parallel sections of one device's decode loop. The calling thread is
// thread 0 and works too. A section costs microseconds: the others spin shortly for the next one before they
// sleep. One caller at a time; sections do not nest.
class ThreadPool {
 public:
  // `threads` >= 1, the caller included; 0 stands for the number of cores this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // The caller's included.
  int threads() const;

  // How long waiting threads spin before they sleep, where each has a core of its own; between sections. Longer than
  // usual is for a caller who waits for something else between them, a GPU, and would have to wake them each time.
  void set_spin(std::chrono::microseconds spin);

  // Calls fn(thread) once for each thread in [0, threads()) and returns when all calls have returned.
  template <class F>
  void Run(F&& fn) {
    using Fn = std::remove_reference_t<F>;
    RunErased([](void* context, int thread) { (*static_cast<Fn*>(context))(thread); },
              const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Calls fn(begin, end, thread) for pieces of [0, count) until all is covered; pieces hold `grain` items
  // (the last may hold fewer) and go to whichever thread is free, which suits cores of unequal speed. What is
  // computed must not depend on which thread gets which piece.
  template <class F>
  void ParallelFor(size_t count, size_t grain, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    ParallelForErased(
        count, grain,
        [](void* context, size_t begin, size_t end, int thread) {
          (*static_cast<Fn*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // The threads that this process may run at a time (see process_limits.h), as first asked.
  static int AvailableCores();

 private:
  void RunErased(void (*fn)(void*, int), void* context);
  void ParallelForErased(size_t count, size_t grain, void (*fn)(void*, size_t, size_t, int), void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_THREAD_POOL_H_
