#include "placement/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace hearth::placement {
namespace {

// No machine holds more; keeps every sum of sizes far from overflow.
constexpr uint64_t kMaxBytes = uint64_t{1} << 60;

absl::Status ValidateGroup(const Group& group) {
  if (!(group.frequency >= 0 && group.frequency <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("frequency is ", group.frequency, ", expected 0 to 1"));
  }
  if (!(std::isfinite(group.operations_per_byte) && group.operations_per_byte >= 0)) {
    return absl::InvalidArgumentError(absl::StrCat("operations_per_byte is ", group.operations_per_byte,
                                                   ", expected zero or a positive number"));
  }
  if (group.always_bytes > kMaxBytes || group.firing_bytes > kMaxBytes || group.cache_bytes > kMaxBytes) {
    return absl::InvalidArgumentError("its weights or its cache are larger than any memory");
  }
  return absl::OkStatus();
}

}  // namespace

uint32_t Model::layers() const {
  uint32_t layers = 0;
  for (const Section& section : sections) {
    if (section.name.kind != GroupKind::kOutput) layers = std::max(layers, section.name.layer + 1);
  }
  return layers;
}

uint64_t GroupBytes(const Model& model) {
  uint64_t bytes = 0;
  for (const Section& section : model.sections) {
    for (const Group& group : section.groups) bytes += group.memory_bytes();
  }
  return bytes;
}

absl::Status ValidateModel(const Model& model) {
  if (model.sections.empty()) return absl::InvalidArgumentError("the model has no sections");
  if (!(std::isfinite(model.leader_operations_per_token) && model.leader_operations_per_token >= 0)) {
    return absl::InvalidArgumentError("leader_operations_per_token is not a number of operations");
  }
  uint64_t total = model.leader_memory_bytes;
  for (size_t i = 0; i < model.sections.size(); ++i) {
    for (size_t g = 0; g < model.sections[i].groups.size(); ++g) {
      const Group& group = model.sections[i].groups[g];
      const absl::Status status = ValidateGroup(group);
      if (!status.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("section ", i, ", group ", g, ": ", status.message()));
      }
      if (total > kMaxBytes) break;
      total += group.memory_bytes();
    }
  }
  if (total > kMaxBytes) return absl::InvalidArgumentError("the model is larger than any memory");
  return absl::OkStatus();
}

}  // namespace hearth::placement
