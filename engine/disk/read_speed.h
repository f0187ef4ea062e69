#ifndef HEARTH_ENGINE_DISK_READ_SPEED_H_
#define HEARTH_ENGINE_DISK_READ_SPEED_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"

namespace hearth {

// Bytes per second of parts of `part_bytes` at random places of a packed file, many at a time and past the
// page cache, as neurons that fire are read: measured for a tenth of a second. INVALID_ARGUMENT where the
// file is not larger than a part; the errors of DiskReader.
absl::StatusOr<double> MeasureRandomReads(const GgufFile& file, size_t part_bytes);

}  // namespace hearth

#endif  // HEARTH_ENGINE_DISK_READ_SPEED_H_
