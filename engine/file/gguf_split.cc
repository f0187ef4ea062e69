#include "engine/file/gguf_split.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMostParts = 99999;

}  // namespace

absl::StatusOr<std::optional<SplitPart>> ReadSplitPart(const GgufFile& file) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> parts, file.metadata().GetUint("split.count"));
  if (parts.value_or(0) <= 1) return std::nullopt;
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> number, file.metadata().GetUint("split.no"));
  if (*parts > kMostParts || number.value_or(*parts) >= *parts) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": says that it is one of ", *parts,
                     " parts of a model, but not a possible number (split.no); download it again"));
  }
  SplitPart result{static_cast<uint32_t>(*number) + 1, static_cast<uint32_t>(*parts), std::nullopt};
  HEARTH_ASSIGN_OR_RETURN(result.tensors, file.metadata().GetUint("split.tensors.count"));
  return result;
}

}  // namespace hearth
