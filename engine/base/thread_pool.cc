#include "engine/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/process_limits.h"
#include "engine/base/spin.h"

namespace hearth {
namespace {

// Between two sections of one token lie a few microseconds: who waits longer than this is idle and sleeps.
constexpr std::chrono::microseconds kSpin(40);
constexpr int kPausesPerClockRead = 32;
constexpr size_t kCacheLine = 64;

// Returns once done(value) holds for the value of `word`: spins for `spin`, then sleeps until it is notified.
template <class Done>
uint32_t Await(const std::atomic<uint32_t>& word, std::chrono::microseconds spin, Done done) {
  uint32_t value = word.load(std::memory_order_acquire);
  if (done(value)) return value;
  const auto deadline = std::chrono::steady_clock::now() + spin;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      CpuRelax();
      value = word.load(std::memory_order_acquire);
      if (done(value)) return value;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  while (!done(value)) {
    word.wait(value, std::memory_order_acquire);
    value = word.load(std::memory_order_acquire);
  }
  return value;
}

}  // namespace

// A section is published by raising `generation`, which every worker waits for; the workers count `pending`
// down and the caller waits for zero. Plain fields are written between sections only, hence ordered by these.
struct ThreadPool::Impl {
  void Work(int thread);
  void RunSection(void (*fn)(void*, int), void* context);

  std::vector<std::thread> workers;
  // Spinning where two threads share a core would only delay the one that has work.
  std::atomic<int64_t> spin{0};  // microseconds
  void (*section)(void*, int) = nullptr;
  void* section_context = nullptr;
  bool stopping = false;

  alignas(kCacheLine) std::atomic<uint32_t> generation{0};
  alignas(kCacheLine) std::atomic<uint32_t> pending{0};
  alignas(kCacheLine) std::atomic<size_t> next_piece{0};
};

void ThreadPool::Impl::Work(int thread) {
  uint32_t seen = 0;
  while (true) {
    seen = Await(generation, std::chrono::microseconds(spin.load(std::memory_order_relaxed)), [seen](uint32_t value) { return value != seen; });
    if (stopping) return;
    section(section_context, thread);
    if (pending.fetch_sub(1) == 1) pending.notify_one();
  }
}

void ThreadPool::Impl::RunSection(void (*fn)(void*, int), void* context) {
  section = fn;
  section_context = context;
  pending.store(static_cast<uint32_t>(workers.size()), std::memory_order_relaxed);
  generation.fetch_add(1);
  generation.notify_all();
  fn(context, 0);
  Await(pending, std::chrono::microseconds(spin.load(std::memory_order_relaxed)), [](uint32_t value) { return value == 0; });
}

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  HEARTH_CHECK(threads >= 0);
  const int cores = AvailableCores();
  if (threads == 0) threads = cores;
  if (threads <= cores) impl_->spin = kSpin.count();
  impl_->workers.reserve(static_cast<size_t>(threads - 1));
  for (int thread = 1; thread < threads; ++thread) {
    impl_->workers.emplace_back([impl = impl_.get(), thread] { impl->Work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  impl_->stopping = true;
  impl_->generation.fetch_add(1);
  impl_->generation.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

void ThreadPool::set_spin(std::chrono::microseconds spin) {
  // A spinning worker reads it when it begins to wait; that it may still use the old value once does no harm.
  if (threads() <= AvailableCores()) impl_->spin.store(spin.count(), std::memory_order_relaxed);
}

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

int ThreadPool::AvailableCores() {
  static const int cores = ReadProcessLimits().threads;
  return cores;
}

void ThreadPool::RunErased(void (*fn)(void*, int), void* context) {
  if (impl_->workers.empty()) {
    fn(context, 0);
  } else {
    impl_->RunSection(fn, context);
  }
}

void ThreadPool::ParallelForErased(size_t count, size_t grain, void (*fn)(void*, size_t, size_t, int),
                                   void* context) {
  HEARTH_CHECK(grain > 0);
  if (count == 0) return;
  // Not count + grain - 1, which overflows for a grain that means "all".
  const size_t pieces = count / grain + (count % grain != 0);
  if (pieces == 1 || impl_->workers.empty()) {
    for (size_t begin = 0; begin < count;) {
      const size_t end = begin + std::min(grain, count - begin);
      fn(context, begin, end, 0);
      begin = end;
    }
    return;
  }
  impl_->next_piece.store(0, std::memory_order_relaxed);
  Run([&](int thread) {
    while (true) {
      const size_t piece = impl_->next_piece.fetch_add(1, std::memory_order_relaxed);
      if (piece >= pieces) return;
      const size_t begin = piece * grain;
      fn(context, begin, begin + std::min(grain, count - begin), thread);
    }
  });
}

}  // namespace hearth
