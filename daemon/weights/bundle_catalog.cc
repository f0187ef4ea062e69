#include "daemon/weights/bundle_catalog.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

BundleCatalog::BundleCatalog(std::shared_ptr<const GgufFile> file,
                             std::shared_ptr<const ModelOutline> outline)
    : file_(std::move(file)), outline_(std::move(outline)) {}

absl::StatusOr<GroupWeights> BundleCatalog::Weights(uint32_t layer, uint32_t group) const {
  HEARTH_CHECK(layer < outline_->neuron_groups.size() && group < outline_->neuron_groups[layer].size());
  return GroupWeights::FromFile(outline_->ffn_specs[layer], outline_->ffn_sources[layer],
                                outline_->neuron_groups[layer][group]);
}

absl::StatusOr<std::vector<uint8_t>> BundleCatalog::Extract(uint32_t layer, uint32_t group) const {
  HEARTH_ASSIGN_OR_RETURN(GroupWeights weights, Weights(layer, group));
  std::vector<uint8_t> bundle = std::move(weights).Load().bytes;
  HEARTH_RETURN_IF_ERROR(CheckUnchanged());
  return bundle;
}

absl::Status BundleCatalog::CheckUnchanged() const { return file_->CheckUnchanged(); }

absl::StatusOr<BundleCatalog::Identity> BundleCatalog::Identify(uint32_t layer, uint32_t group) {
  {
    MutexLock lock(&mutex_);
    if (const auto known = identities_.find({layer, group}); known != identities_.end()) return known->second;
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> bundle, Extract(layer, group));
  const Identity identity{Sha256Of(bundle), bundle.size()};
  MutexLock lock(&mutex_);
  identities_[{layer, group}] = identity;
  groups_[identity.sha256] = {layer, group};
  return identity;
}

absl::StatusOr<std::vector<uint8_t>> BundleCatalog::Find(const Sha256Digest& sha256) const {
  GroupNumber number;
  {
    MutexLock lock(&mutex_);
    const auto found = groups_.find(sha256);
    if (found == groups_.end()) return absl::NotFoundError(absl::StrCat("no bundle ", Sha256Hex(sha256)));
    number = found->second;
  }
  return Extract(number.first, number.second);
}

void BundleCatalog::ReleaseLayer(uint32_t layer) const {
  for (const FfnBlockSource& block : outline_->ffn_sources[layer].blocks) {
    for (const WeightSlice* slice : {&block.gate, &block.up, &block.down, &block.predictor}) {
      if (slice->tensor != nullptr) file_->Release(slice->tensor->data);
    }
  }
}

}  // namespace hearth
