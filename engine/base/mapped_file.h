#ifndef HEARTH_ENGINE_BASE_MAPPED_FILE_H_
#define HEARTH_ENGINE_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// A whole file mapped read-only. Movable, not copyable; the mapping ends with the object.
// Thread-safe after construction.
class MappedFile {
 public:
  // NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT (a directory, an empty file), with the path in the
  // message.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  absl::Span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Tells the kernel that the pages inside `part` (a part of bytes()) are not needed for now, so that they do
  // not count as resident; reading them again is still correct. Pages shared with the neighbours are kept.
  void Release(absl::Span<const uint8_t> part) const;

 private:
  MappedFile(std::string path, const uint8_t* data, size_t size);

  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_MAPPED_FILE_H_
