#ifndef HEARTH_ENGINE_FILE_GGUF_SPLIT_H_
#define HEARTH_ENGINE_FILE_GGUF_SPLIT_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/base/split_name.h"
#include "engine/file/gguf.h"

namespace hearth {

// A model may be split over several files, which tell so by the keys "split.count", "split.no" (from 0) and
// "split.tensors.count" (of all parts together) and by their names. The first part has the model's metadata,
// any part may have no tensors.

// What the file says of itself: nullopt where it is whole. INVALID_ARGUMENT for impossible values.
struct SplitPart {
  uint32_t part = 1;  // from 1, as in names
  uint32_t parts = 1;
  std::optional<uint64_t> tensors;  // of all parts
};
absl::StatusOr<std::optional<SplitPart>> ReadSplitPart(const GgufFile& file);

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_SPLIT_H_
