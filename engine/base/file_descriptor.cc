#include "engine/base/file_descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace hearth {
namespace {

constexpr size_t kMostBytesAtOnce = size_t{1} << 30;  // the kernel takes less than 2 GiB

}  // namespace

FileDescriptor::FileDescriptor(const std::string& path, int flags)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

bool WriteAll(int fd, absl::Span<const uint8_t> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), std::min(data.size(), kMostBytesAtOnce));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool ReadAll(int fd, absl::Span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::read(fd, out.data(), std::min(out.size(), kMostBytesAtOnce));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out.remove_prefix(static_cast<size_t>(got));
  }
  return true;
}

}  // namespace hearth
