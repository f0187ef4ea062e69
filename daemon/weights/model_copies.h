#ifndef HEARTH_DAEMON_WEIGHTS_MODEL_COPIES_H_
#define HEARTH_DAEMON_WEIGHTS_MODEL_COPIES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "daemon/weights/model_files.h"

namespace hearth {

// Copies of the files of another host's models, in a folder of this one, under the paths that they have
// there: with them this host can serve the same models. A copy is there whole and with the right digest or
// not at all; what has arrived of one that is not is kept, and gone on with. One thread may change them,
// others Resolve meanwhile.
class ModelCopies {
 public:
  // `folder` need not exist. `free_bytes`: what copies may still take of its disk; see FreeForCopies.
  explicit ModelCopies(std::string folder, std::function<uint64_t(const std::string& folder)> free_bytes);
  explicit ModelCopies(std::string folder);

  // Where the file of that path is to be opened: there, or where nothing lies there and there is a copy of
  // it, at that.
  std::string Resolve(const std::string& path) const;
  // Whether this host has what is read from these files: at the same path, or as a copy of the same digest.
  bool Has(const ModelFiles& model) const;

  // Gives the bytes of a file from `offset` on to `sink`.
  using Fetch =
      std::function<absl::Status(const ModelFiles::Named& file, uint64_t offset, const PieceSink& sink)>;
  // Makes a copy, in place of a former one of that path. RESOURCE_EXHAUSTED, in words, where the disk has not
  // the room; DATA_LOSS where what came is something else; an error of the disk, or `fetch`'s.
  absl::Status Add(const ModelFiles& model, const Fetch& fetch);
  // Removes what is a copy, or the beginning of one, of anything else.
  void KeepOnly(absl::Span<const ModelFiles> models);

 private:
  std::string FolderOf(const std::string& path) const;
  absl::Status Begin(const ModelFiles& model, const std::string& begun) const;

  const std::string folder_;
  const std::function<uint64_t(const std::string&)> free_bytes_;
};

// What a disk has free beyond a twentieth of it and a gibibyte.
uint64_t FreeForCopies(const std::string& folder);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_MODEL_COPIES_H_
