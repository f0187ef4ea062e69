#ifndef HEARTH_CLIENT_LIBRARY_PART_FILE_H_
#define HEARTH_CLIENT_LIBRARY_PART_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// A file that is being fetched: it lies beside its place as NAME.part and is moved there when all has come.
// Behind its bytes stands a record of what has come, so that the next one goes on. Locked: one process at a
// time has it. Movable; not thread-safe.
class PartFile {
 public:
  struct Record {
    std::string identity;   // of the bytes: their digest, or what they were asked for by
    std::string validator;  // for If-Range; empty: the digest alone will tell
    uint64_t bytes = 0;
    std::vector<uint64_t> done;  // of each chunk (chunks.h)
  };

  // Opens or makes the one of `path`. ALREADY_EXISTS where a file is at `path`, UNAVAILABLE where another
  // process has it; else what open() says.
  static absl::StatusOr<PartFile> Open(const std::string& path);

  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&& other) = delete;
  // It stays, unlocked.
  ~PartFile();

  const std::string& part_path() const { return part_path_; }
  int fd() const { return fd_; }
  // What Save left; nullopt: nothing, or nothing that is whole.
  std::optional<Record> ReadRecord() const;

  // Begins a file of so many bytes, and takes the room for it on the disk. RESOURCE_EXHAUSTED says how much
  // is missing.
  absl::Status Reserve(uint64_t bytes);
  absl::Status Write(uint64_t at, absl::Span<const uint8_t> bytes);
  // Begins to bring what was written to the disk, so that Save and Commit wait less. May wait for a slow disk.
  void WriteBehind(uint64_t at, uint64_t bytes);
  // Keeps what has come, over a loss of power too.
  absl::Status Save(const Record& record);
  // Moves its first `bytes` to `path`, which must not be there.
  absl::Status Commit(uint64_t bytes);
  void Remove();

 private:
  PartFile(std::string path, int fd) : path_(std::move(path)), part_path_(path_ + ".part"), fd_(fd) {}
  absl::Status Failure() const;

  std::string path_;
  std::string part_path_;
  int fd_;
};

// RESOURCE_EXHAUSTED, with how much is missing, where the disk of `folder` has no room for `bytes`.
absl::Status CheckRoom(const std::string& folder, uint64_t bytes);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_PART_FILE_H_
