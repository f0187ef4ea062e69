#include "daemon/weights/bundle_catalog.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_skeleton.h"

namespace hearth {

BundleCatalog::BundleCatalog(std::shared_ptr<const GgufFile> file,
                             std::shared_ptr<const ModelOutline> outline)
    : file_(std::move(file)),
      profile_(outline->options.profile),
      adapter_(outline->options.adapter),
      source_(file_, std::move(outline)) {}

absl::StatusOr<BundleId> BundleCatalog::Identify(const UnitId& unit) {
  {
    MutexLock lock(&mutex_);
    if (const auto known = identities_.find(unit); known != identities_.end()) return known->second;
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> bundle, source_.Bundle(unit));
  const BundleId identity{Sha256Of(bundle), bundle.size()};
  MutexLock lock(&mutex_);
  identities_[unit] = identity;
  units_[identity.sha256] = unit;
  return identity;
}

absl::StatusOr<BundleId> BundleCatalog::IdentifySkeleton() {
  MutexLock lock(&mutex_);
  if (skeleton_id_) return *skeleton_id_;
  HEARTH_ASSIGN_OR_RETURN(skeleton_, MakeSkeleton(*file_, profile_.get(), adapter_.get()));
  HEARTH_RETURN_IF_ERROR(file_->CheckUnchanged());
  skeleton_id_ = BundleId{Sha256Of(skeleton_), skeleton_.size()};
  return *skeleton_id_;
}

absl::StatusOr<std::vector<uint8_t>> BundleCatalog::Find(const Sha256Digest& sha256) {
  UnitId unit;
  {
    MutexLock lock(&mutex_);
    if (skeleton_id_ && skeleton_id_->sha256 == sha256) return skeleton_;
    const auto found = units_.find(sha256);
    if (found == units_.end()) return absl::NotFoundError(absl::StrCat("no bundle ", Sha256Hex(sha256)));
    unit = found->second;
  }
  return source_.Bundle(unit);
}

}  // namespace hearth
