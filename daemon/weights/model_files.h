#ifndef HEARTH_DAEMON_WEIGHTS_MODEL_FILES_H_
#define HEARTH_DAEMON_WEIGHTS_MODEL_FILES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"
#include "proto/hearth/v1/weights.pb.h"

namespace hearth {

// What a model is read from; see weights.proto.
struct ModelFiles {
  struct Named {
    std::string name;
    uint64_t bytes = 0;
    bool beside = false;
  };
  std::string path;
  std::string digest;
  std::vector<Named> files;
};

// Called with the next bytes of a file; an error is to be the end.
using PieceSink = std::function<absl::Status(absl::Span<const uint8_t> bytes)>;

// The same where it is loaded.
struct ServedFiles {
  ModelFiles files;
  std::shared_ptr<const GgufFile> file, profile;  // the latter may be null
};

// `path`: as the home knows it.
ServedFiles FilesOf(const std::string& path, const std::string& digest, std::shared_ptr<const GgufFile> file,
                    std::shared_ptr<const GgufFile> profile);
// The bytes of the file of that name; nullopt: there is none.
std::optional<absl::Span<const uint8_t>> BytesOf(const ServedFiles& model, std::string_view name);

v1::ModelFiles ToProto(const ModelFiles& model);
// INVALID_ARGUMENT for what cannot be files of a model in one folder.
absl::StatusOr<ModelFiles> FromProto(const v1::ModelFiles& proto);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_MODEL_FILES_H_
