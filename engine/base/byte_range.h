#ifndef HEARTH_ENGINE_BASE_BYTE_RANGE_H_
#define HEARTH_ENGINE_BASE_BYTE_RANGE_H_

#include <cstddef>

namespace hearth {

// The bytes [begin, end) of a text.
struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_BYTE_RANGE_H_
