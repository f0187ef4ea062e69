#ifndef HEARTH_ENGINE_FILE_LITTLE_ENDIAN_H_
#define HEARTH_ENGINE_FILE_LITTLE_ENDIAN_H_

#include <bit>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "engine/base/check.h"

namespace hearth {

// The number at `at`, wherever that is aligned; within the bytes (CHECK).
template <class T>
T LoadLittle(absl::Span<const uint8_t> bytes, size_t at) {
  static_assert(std::endian::native == std::endian::little);
  HEARTH_CHECK(at <= bytes.size() && bytes.size() - at >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_LITTLE_ENDIAN_H_
