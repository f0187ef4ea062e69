#ifndef HEARTH_ENGINE_BASE_TASK_QUEUE_H_
#define HEARTH_ENGINE_BASE_TASK_QUEUE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// Threads that do, in turn, what would hold up the few threads on which gRPC calls back: reading files, for
// example. Unbounded: whoever adds tasks has a bound on how many there can be. Thread-safe.
class TaskQueue {
 public:
  explicit TaskQueue(size_t threads);
  // Does what was added and ends the threads.
  ~TaskQueue();

  // Puts a task behind those that wait. From any thread.
  void Add(std::function<void()> task);

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;  // last: start when all else is there
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_TASK_QUEUE_H_
