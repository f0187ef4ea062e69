#ifndef HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_
#define HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/weights/sha256.h"
#include "engine/base/mutex.h"
#include "engine/file/gguf.h"
#include "engine/model/model.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// The bundles of a model file: makes them from the file when they are asked for and knows their hashes.
// Thread-safe.
class BundleCatalog {
 public:
  struct Identity {
    Sha256Digest sha256{};
    uint64_t bytes = 0;
  };

  BundleCatalog(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline);

  // The weights of a group, by its numbers in the outline (CHECK), as they lie in the
  // file: to be used before the catalog goes.
  absl::StatusOr<GroupWeights> Weights(uint32_t layer, uint32_t group) const;
  // To be asked when Weights have been read: DATA_LOSS when the file was changed since it was opened. The
  // others look themselves.
  absl::Status CheckUnchanged() const;
  // The hash and size of a group's bundle; reads the weights when it is asked for the first time.
  absl::StatusOr<Identity> Identify(uint32_t layer, uint32_t group);
  // The bundle of a hash that Identify has returned. NOT_FOUND for any other.
  absl::StatusOr<std::vector<uint8_t>> Find(const Sha256Digest& sha256) const;

  // A layer's weights have been read for now: their pages of the file need not stay in memory.
  void ReleaseLayer(uint32_t layer) const;

 private:
  using GroupNumber = std::pair<uint32_t, uint32_t>;  // layer, group

  absl::StatusOr<std::vector<uint8_t>> Extract(uint32_t layer, uint32_t group) const;

  const std::shared_ptr<const GgufFile> file_;
  const std::shared_ptr<const ModelOutline> outline_;
  mutable Mutex mutex_;
  std::map<GroupNumber, Identity> identities_ ABSL_GUARDED_BY(mutex_);
  std::map<Sha256Digest, GroupNumber> groups_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_BUNDLE_CATALOG_H_
