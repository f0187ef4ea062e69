#ifndef HEARTH_DAEMON_WEIGHTS_BUNDLE_STORE_H_
#define HEARTH_DAEMON_WEIGHTS_BUNDLE_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/sha256.h"

namespace hearth {

struct BundleStoreCounters {
  uint64_t fetched_bytes = 0;      // appended
  uint64_t fetched_bundles = 0;    // finished
  uint64_t cached_bundles = 0;     // read whole that were here from earlier
  uint64_t discarded_bundles = 0;  // found damaged
};

// A host's cache of weights on disk, by content:
//   DIR/sha256/ab/abcdef...        a bundle, named by its SHA-256
//   DIR/partial/abcdef...          one that is still arriving
// Whatever is in the directory is checked before it is used: a damaged entry is thrown away and counts as
// absent. When the cache is full the entries go that were not read for longest, but none that is protected.
// Not thread-safe; one object per directory.
class BundleStore {
 public:
  // Creates the directory. UNAVAILABLE with the path and the reason. `max_bytes` 0: no bound.
  static absl::StatusOr<std::unique_ptr<BundleStore>> Open(const std::string& dir, uint64_t max_bytes);

  // The bundles that are in use now, in place of those named before: they stay whatever else needs room.
  void Protect(const std::vector<Sha256Digest>& bundles);

  // Whether an entry of that size is there (its content is checked by Read).
  bool Has(const Sha256Digest& sha256, uint64_t bytes) const;
  // NOT_FOUND when it is absent or was damaged.
  absl::StatusOr<std::vector<uint8_t>> Read(const Sha256Digest& sha256, uint64_t bytes);

  // How many bytes of a bundle have arrived already.
  uint64_t PartialBytes(const Sha256Digest& sha256) const;
  // Adds the next bytes of a bundle. INVALID_ARGUMENT when `offset` is not PartialBytes; FAILED_PRECONDITION
  // when the disk does not take them, because it is full or may not be written; RESOURCE_EXHAUSTED when the
  // bundle does not fit the bound.
  absl::Status Append(const Sha256Digest& sha256, uint64_t offset, absl::Span<const uint8_t> data);
  // All bytes have arrived: makes the entry, durably. DATA_LOSS when they do not have that hash or size; what
  // arrived is then thrown away.
  absl::Status Finish(const Sha256Digest& sha256, uint64_t bytes);

  // Whether the disk would take so many bytes now; FAILED_PRECONDITION with the reason.
  absl::Status Probe(uint64_t bytes) const;

  // Since the daemon started; and what the directory holds.
  const BundleStoreCounters& counters() const { return counters_; }
  uint64_t stored_bytes() const { return stored_bytes_; }

 private:
  struct Entry {
    uint64_t bytes = 0;
    int64_t last_use_ns = 0;  // of the file
    bool fetched = false;     // since the daemon started
  };

  BundleStore(std::string dir, uint64_t max_bytes);
  absl::Status Scan();
  std::string EntryPath(const std::string& hex) const;
  std::string PartialPath(const std::string& hex) const;
  absl::Status MakeRoom(uint64_t bytes);
  void Discard(const std::string& hex);

  const std::string dir_;
  const uint64_t max_bytes_;
  std::map<std::string, Entry> entries_;  // by hexadecimal hash
  absl::flat_hash_set<std::string> protected_;
  uint64_t stored_bytes_ = 0;
  BundleStoreCounters counters_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_BUNDLE_STORE_H_
