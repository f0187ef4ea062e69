#ifndef HEARTH_ENGINE_GPU_PACK_ROWS_H_
#define HEARTH_ENGINE_GPU_PACK_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "engine/gpu/gpu_matrix.h"

namespace hearth::gpu {

// Sorts `count` rows as a file has them, of `units` units each (whole super-blocks for types that have them),
// into planes: those of row i of the result begin at plane + i * the plane's bytes per row. For F32, F16 and
// BF16 that is a copy. `rows` holds count * units * FileUnitBytes(type) bytes.
struct Planes {
  uint8_t* codes = nullptr;
  uint8_t* high = nullptr;
  uint8_t* scales = nullptr;
  uint8_t* super = nullptr;
};
void PackRows(GpuType type, const uint8_t* rows, size_t count, size_t units, const Planes& planes);

// Bytes that 8 units take in a file: of a super-block, or of 8 blocks.
size_t FileBytesOf8Units(GpuType type);

}  // namespace hearth::gpu

#endif  // HEARTH_ENGINE_GPU_PACK_ROWS_H_
