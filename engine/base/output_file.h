#ifndef HEARTH_ENGINE_BASE_OUTPUT_FILE_H_
#define HEARTH_ENGINE_BASE_OUTPUT_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// Whether a file may take the place of one that is there.
enum class Replace {
  kNever,
  kIfForced,     // not as long as --force, which the error advises, does not make it kRegularFile
  kRegularFile,  // never a device, a pipe, a directory or a symbolic link: they are not ours
};

// The one way in which Hearth writes a file: under a temporary name beside its place, flushed to the disk,
// then renamed. Other programs see the old file or the complete new one; when anything fails, such as a full
// disk, the place is as it was and nothing is left over. Movable; not thread-safe.
class OutputFile {
 public:
  // What Create says about `path`, without making anything: to be asked before hours of work. ALREADY_EXISTS
  // for a regular file that may not be replaced, INVALID_ARGUMENT for what is no regular file, NOT_FOUND or
  // PERMISSION_DENIED for a folder in which nothing can be made.
  static absl::Status Check(const std::string& path, Replace replace);
  // As Check, and INVALID_ARGUMENT where `path` is the very file `input`, by whatever name.
  static absl::Status CheckIsNot(const std::string& path, const std::string& input);

  // The last step alone, for who has written the file otherwise: moves `from`, which lies in the same folder
  // and is on the disk, to `path`.
  static absl::Status Place(const std::string& from, const std::string& path, Replace replace);

  // Begins a file that takes its place at `path` with Commit. `mode`: who may read and write it, as open()
  // takes it.
  static absl::StatusOr<OutputFile> Create(const std::string& path, Replace replace, unsigned mode = 0666);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  // Without Commit nothing stays.
  ~OutputFile();

  // Appends. An error names the file and the reason.
  absl::Status Write(absl::Span<const uint8_t> bytes);
  absl::Status Write(std::string_view text);
  // Puts the file in its place; nothing may be written afterwards. What Check refuses is refused here too,
  // where it appeared in the meantime.
  absl::Status Commit();

 private:
  OutputFile(std::string path, Replace replace) : path_(std::move(path)), replace_(replace) {}

  // "cannot write PATH: REASON".
  absl::Status Failure() const;
  void Discard();

  std::string path_;
  Replace replace_;
  std::string temporary_;  // empty: nothing to remove
  int fd_ = -1;
};

// Writes all of `text` that way.
absl::Status WriteFile(const std::string& path, std::string_view text, Replace replace, unsigned mode = 0666);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_OUTPUT_FILE_H_
