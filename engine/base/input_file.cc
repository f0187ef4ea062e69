#include "engine/base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/file_descriptor.h"

namespace hearth {
namespace {

absl::Status TooLarge(const std::string& path, uint64_t max_bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, " has more than the ", max_bytes, " bytes that are read; is it the right file?"));
}

}  // namespace

absl::StatusOr<std::string> ReadInputFile(const std::string& path, uint64_t max_bytes) {
  // O_NONBLOCK: opening a named pipe must be refused below, not wait for a writer.
  const FileDescriptor file(path, O_RDONLY | O_NONBLOCK);
  if (!file.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  struct stat info;
  if (fstat(file.get(), &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot examine ", path));
  if (S_ISDIR(info.st_mode))
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory; give the path of a file"));
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file; copy it to a disk first"));
  if (static_cast<uint64_t>(info.st_size) > max_bytes) return TooLarge(path, max_bytes);
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > max_bytes) return TooLarge(path, max_bytes);  // it grows
  }
}

}  // namespace hearth
