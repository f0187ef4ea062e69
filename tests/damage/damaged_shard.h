#ifndef HEARTH_TESTS_DAMAGE_DAMAGED_SHARD_H_
#define HEARTH_TESTS_DAMAGE_DAMAGED_SHARD_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "tests/damage/mutation.h"

namespace hearth {

// A coordinator that sends nonsense: the shard of a sound model as a worker gets it, with bytes of the
// message, of the skeleton and of the bundles changed under hashes that fit, is converted, outlined, loaded
// and computed as a worker does it. Returns the error that ended it, if any.
absl::Status TryShard(uint64_t seed, const std::vector<Sound>& models);

}  // namespace hearth

#endif  // HEARTH_TESTS_DAMAGE_DAMAGED_SHARD_H_
