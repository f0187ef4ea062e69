#ifndef HEARTH_ENGINE_FILE_STORED_ZIP_H_
#define HEARTH_ENGINE_FILE_STORED_ZIP_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// The entries of a small zip archive by name, views of its bytes: the kind that other formats use as a
// container. Everything is checked: places, sizes, names, CRC-32. INVALID_ARGUMENT for what is no zip archive
// that ends with its directory, for more than 64 entries, and for entries that are compressed, encrypted or
// beyond 4 GiB.
absl::StatusOr<std::map<std::string, absl::Span<const uint8_t>>> ReadStoredZip(
    absl::Span<const uint8_t> bytes);

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_STORED_ZIP_H_
