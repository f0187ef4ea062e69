#ifndef HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_
#define HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/weights/shard_description.h"
#include "engine/base/mutex.h"
#include "engine/base/sha256.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// The bundles of a model file, its skeleton among them: makes them from the file when they are asked for and
// knows their hashes. Thread-safe.
class BundleCatalog {
 public:
  BundleCatalog(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline);

  // Hash and size of a unit's bundle (CHECK: there is one); reads the weights when it is asked for the first
  // time. DATA_LOSS when the file was changed since it was opened.
  absl::StatusOr<BundleId> Identify(const UnitId& unit);
  absl::StatusOr<BundleId> IdentifySkeleton();
  // The bundle of a hash that was returned. NOT_FOUND for any other.
  absl::StatusOr<std::vector<uint8_t>> Find(const Sha256Digest& sha256);

  // A layer's weights have been read for now: their pages of the file need not stay in memory.
  void ReleaseLayer(uint32_t layer) { source_.ReleaseLayer(layer); }

 private:
  const std::shared_ptr<const GgufFile> file_, profile_, adapter_;  // of the model; the latter may be null
  FileSource source_;                                               // thread-safe: it has no state of its own

  Mutex mutex_;
  std::map<UnitId, BundleId> identities_ ABSL_GUARDED_BY(mutex_);
  std::map<Sha256Digest, UnitId> units_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint8_t> skeleton_ ABSL_GUARDED_BY(mutex_);
  std::optional<BundleId> skeleton_id_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_
