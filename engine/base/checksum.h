#ifndef HEARTH_ENGINE_BASE_CHECKSUM_H_
#define HEARTH_ENGINE_BASE_CHECKSUM_H_

#include <cstdint>

#include "absl/types/span.h"

namespace hearth {

// XXH3 of 64 bits: finds damage by accident, not by intent, and is faster than memory is read.
uint64_t Checksum(absl::Span<const uint8_t> bytes);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_CHECKSUM_H_
