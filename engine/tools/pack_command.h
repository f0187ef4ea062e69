#ifndef HEARTH_ENGINE_TOOLS_PACK_COMMAND_H_
#define HEARTH_ENGINE_TOOLS_PACK_COMMAND_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/output_file.h"

namespace hearth {

struct PackOptions {
  std::string profile_path;           // empty: the one beside the model where there is one
  int threads = 0;                    // 0: all cores
  Replace replace = Replace::kIfForced;  // whether a file that is there may be replaced
  std::function<void(uint64_t done_bytes, uint64_t all_bytes)> progress = {};
};

struct PackSummary {
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;
  uint64_t neurons = 0;  // that became records
};

// Writes the model `input` as a packed file (engine/file/gguf_packed.h), in the order of its profile where it
// has one. `output` appears complete or not at all. Errors: what opening, outlining and OutputFile say, the
// last before any work is done; INVALID_ARGUMENT for a model that is packed already, has no neurons that can
// lie in records, or is `output` itself; RESOURCE_EXHAUSTED for a disk without room.
absl::StatusOr<PackSummary> PackFile(const std::string& input, const std::string& output,
                                     const PackOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_PACK_COMMAND_H_
