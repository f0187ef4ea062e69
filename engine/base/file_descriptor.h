#ifndef HEARTH_ENGINE_BASE_FILE_DESCRIPTOR_H_
#define HEARTH_ENGINE_BASE_FILE_DESCRIPTOR_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"

namespace hearth {

// An open file or directory, closed at the end of its scope. What fails leaves its reason in errno.
class FileDescriptor {
 public:
  // `flags` of open(2); a file that is made is its owner's alone.
  FileDescriptor(const std::string& path, int flags);
  ~FileDescriptor();
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Where the descriptor stands; false when it fails, reading also where the file ends before `out` is full.
bool WriteAll(int fd, absl::Span<const uint8_t> data);
bool ReadAll(int fd, absl::Span<uint8_t> out);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_FILE_DESCRIPTOR_H_
