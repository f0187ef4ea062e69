#include "engine/base/checksum.h"

#include <xxhash.h>

namespace hearth {

uint64_t Checksum(absl::Span<const uint8_t> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace hearth
