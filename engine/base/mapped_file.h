#ifndef HEARTH_ENGINE_BASE_MAPPED_FILE_H_
#define HEARTH_ENGINE_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// A whole file mapped read-only. Movable, not copyable; the mapping ends with the object.
// Thread-safe after construction.
//
// A file may change while it is mapped. A new file under the old name does no harm: the mapping is of the old
// one. Where the file itself is cut short or overwritten, reading stays safe (what is gone reads as zeros)
// and CheckUnchanged tells: whoever uses what was read asks it afterwards.
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

  // The file's content and name.
  absl::Span<const uint8_t> bytes() const;
  const std::string& path() const;

  // OK when everything read from bytes() so far is what the file held when it was opened. DATA_LOSS once the
  // file has been cut short, overwritten or could not be read: size and time of change are compared. Takes
  // less than a microsecond and allocates nothing while it is OK.
  absl::Status CheckUnchanged() const;

  // What tells this state of the file from others: device, inode, size and time of change, as text.
  std::string Identity() const;

  // Opens the very file that is mapped once more, whatever has its name by now, with these flags beside those
  // for reading; the caller closes it. The errors of open().
  absl::StatusOr<int> OpenDescriptor(int flags) const;

  // Tells the kernel that what it keeps of the file in its cache is not needed for now.
  void DropCache() const;

  // Tells the kernel that the pages inside `part` (a part of bytes()) are not needed for now, so that they do
  // not count as resident; reading them again is still correct. Pages shared with the neighbours are kept.
  void Release(absl::Span<const uint8_t> part) const;

 private:
  class Mapping;
  explicit MappedFile(std::unique_ptr<const Mapping> mapping);

  std::unique_ptr<const Mapping> mapping_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_MAPPED_FILE_H_
