#include "daemon/weights/shard_description.h"

namespace hearth {

uint64_t ShardDescription::bytes() const {
  uint64_t total = 0;
  for (const ShardLayer& share : shares) {
    for (const PlacedGroup& group : share.groups) total += group.bytes;
  }
  return total;
}

}  // namespace hearth
