#ifndef HEARTH_ENGINE_BASE_MUTEX_H_
#define HEARTH_ENGINE_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace hearth {

// std::mutex and std::condition_variable with the annotations that clang's -Wthread-safety checks
// ABSL_GUARDED_BY against (the standard library's have none). Not absl::Mutex: its timed waits follow the
// wall clock, and a clock that is set back by an hour, as happens when a machine finds its time after
// booting, must not keep a worker from syncing for an hour. Time here is the steady clock.
class ABSL_LOCKABLE Mutex {
 public:
  // As std::mutex.
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  // To let go of the mutex before the end of the scope, and to take it again.
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a mutex to the end of its scope, but for the time between Unlock and Lock.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(*mutex) { mutex_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (held_) mutex_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // To let go of the mutex before the end of the scope, and to take it again.
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    mutex_.Unlock();
    held_ = false;
  }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mutex_.Lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// The waits may also end without a signal: wait in a loop that looks at what is waited for.
class CondVar {
 public:
  using Clock = std::chrono::steady_clock;

  // As std::condition_variable, with the mutex that the caller holds; may wake without a signal.
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False once the time has come.
  bool WaitUntil(Mutex* mutex, Clock::time_point time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    const bool signalled = condition_.wait_until(lock, time) == std::cv_status::no_timeout;
    lock.release();
    return signalled;
  }
  bool WaitFor(Mutex* mutex, Clock::duration duration) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return WaitUntil(mutex, Clock::now() + duration);
  }

  // Wakes one of those that wait, or all.
  void Signal() { condition_.notify_one(); }
  void SignalAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_MUTEX_H_
