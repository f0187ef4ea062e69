#include <unistd.h>

#include <cerrno>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"
#include "engine/disk/read_queue.h"

namespace hearth {
namespace {

class ThreadQueue : public ReadQueue {
 public:
  ThreadQueue(int fd, size_t threads) : fd_(fd) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ThreadQueue() override {
    {
      MutexLock lock(&mutex_);
      stopped_ = true;
    }
    work_.SignalAll();
    for (std::thread& thread : threads_) thread.join();
  }

  void Submit(size_t buffer, uint64_t offset, absl::Span<uint8_t> to) override {
    MutexLock lock(&mutex_);
    waiting_.push_back({buffer, offset, to});
    work_.Signal();
  }
  void Flush() override {}
  ReadResult Wait() override {
    MutexLock lock(&mutex_);
    while (done_.empty()) ready_.Wait(&mutex_);
    const ReadResult result = done_.front();
    done_.pop_front();
    return result;
  }

 private:
  struct Read {
    size_t buffer;
    uint64_t offset;
    absl::Span<uint8_t> to;
  };

  void Work() {
    for (;;) {
      Read read;
      {
        MutexLock lock(&mutex_);
        while (!stopped_ && waiting_.empty()) work_.Wait(&mutex_);
        if (stopped_) return;
        read = waiting_.front();
        waiting_.pop_front();
      }
      ssize_t bytes;
      do {
        bytes = pread(fd_, read.to.data(), read.to.size(), static_cast<off_t>(read.offset));
      } while (bytes < 0 && errno == EINTR);
      const ReadResult result = {read.buffer, bytes < 0 ? -errno : bytes};
      MutexLock lock(&mutex_);
      done_.push_back(result);
      ready_.Signal();
    }
  }

  const int fd_;
  Mutex mutex_;
  CondVar work_, ready_;
  std::deque<Read> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<ReadResult> done_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadQueue> MakeThreadQueue(int fd, size_t threads) {
  return std::make_unique<ThreadQueue>(fd, threads);
}

}  // namespace hearth
