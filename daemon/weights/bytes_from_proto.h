#ifndef HEARTH_DAEMON_WEIGHTS_BYTES_FROM_PROTO_H_
#define HEARTH_DAEMON_WEIGHTS_BYTES_FROM_PROTO_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace hearth {

// A token, hash or address from the wire. INVALID_ARGUMENT, with the field's name, for any other number of
// bytes.
template <size_t kBytes = 32>
absl::StatusOr<std::array<uint8_t, kBytes>> BytesFromProto(const std::string& bytes, const char* field) {
  std::array<uint8_t, kBytes> result;
  if (bytes.size() != result.size()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", bytes.size(), " bytes instead of ", kBytes));
  }
  std::memcpy(result.data(), bytes.data(), result.size());
  return result;
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_BYTES_FROM_PROTO_H_
