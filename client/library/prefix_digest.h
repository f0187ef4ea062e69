#ifndef HEARTH_CLIENT_LIBRARY_PREFIX_DIGEST_H_
#define HEARTH_CLIENT_LIBRARY_PREFIX_DIGEST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"

namespace hearth {

// Whether it is a SHA-256 in hexadecimal digits, small or capital.
bool IsSha256(std::string_view text);

// The SHA-256 of a file, computed by a thread of its own behind who writes it.
class PrefixDigest {
 public:
  // `fd` stays open as long as it lives.
  explicit PrefixDigest(int fd);
  ~PrefixDigest();

  // The first `bytes` of the file will not change any more.
  void Extend(uint64_t bytes);
  uint64_t read_bytes() const { return read_bytes_; }
  // Whether the first `bytes` have been read, or cannot be; waits up to `milliseconds` for that.
  bool WaitFor(uint64_t bytes, int milliseconds);
  // In hexadecimal, of all that was read, once WaitFor is true; to be called once.
  absl::StatusOr<std::string> Finish();

 private:
  struct Context;
  void Run();
  // Reads up to the first `limit` bytes; false where the file cannot be read.
  bool ReadUpTo(uint64_t limit);

  const int fd_;
  const std::unique_ptr<Context> context_;  // the thread's, until it waits
  std::atomic<uint64_t> read_bytes_ = 0;
  Mutex mutex_;
  CondVar changed_;
  uint64_t limit_ ABSL_GUARDED_BY(mutex_) = 0;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_PREFIX_DIGEST_H_
