#include "client/library/prefix_digest.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/types/span.h"
#include "engine/base/sha256.h"

namespace hearth {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kSha256Digits = 64;

}  // namespace

bool IsSha256(std::string_view text) {
  return text.size() == kSha256Digits &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

struct PrefixDigest::Context {
  Sha256 sha;
  std::vector<uint8_t> buffer = std::vector<uint8_t>(kReadBytes);
};

PrefixDigest::PrefixDigest(int fd)
    : fd_(fd), context_(std::make_unique<Context>()), thread_([this] { Run(); }) {}

PrefixDigest::~PrefixDigest() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  changed_.SignalAll();
  thread_.join();
}

void PrefixDigest::Extend(uint64_t bytes) {
  {
    MutexLock lock(&mutex_);
    if (bytes <= limit_) return;
    limit_ = bytes;
  }
  changed_.SignalAll();
}

bool PrefixDigest::WaitFor(uint64_t bytes, int milliseconds) {
  const auto until = CondVar::Clock::now() + std::chrono::milliseconds(milliseconds);
  MutexLock lock(&mutex_);
  while (read_bytes_ < bytes && !failed_) {
    if (!changed_.WaitUntil(&mutex_, until)) return read_bytes_ >= bytes || failed_;
  }
  return true;
}

absl::StatusOr<std::string> PrefixDigest::Finish() {
  {
    MutexLock lock(&mutex_);
    if (failed_) return absl::DataLossError("what has come cannot be read from the disk any more");
  }
  return Sha256Hex(context_->sha.Finish());
}

void PrefixDigest::Run() {
  MutexLock lock(&mutex_);
  while (!stopped_ && !failed_) {
    if (read_bytes_ == limit_) {
      changed_.Wait(&mutex_);
      continue;
    }
    const uint64_t limit = limit_;
    lock.Unlock();
    const bool read = ReadUpTo(limit);
    lock.Lock();
    failed_ = !read;
    changed_.SignalAll();
  }
}

bool PrefixDigest::ReadUpTo(uint64_t limit) {
  while (read_bytes_ < limit && !stopped_) {
    const size_t most = static_cast<size_t>(std::min<uint64_t>(limit - read_bytes_, kReadBytes));
    const ssize_t got = pread(fd_, context_->buffer.data(), most, static_cast<off_t>(read_bytes_.load()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    context_->sha.Update(absl::MakeConstSpan(context_->buffer).first(static_cast<size_t>(got)));
    read_bytes_ += static_cast<uint64_t>(got);
  }
  return true;
}

}  // namespace hearth
