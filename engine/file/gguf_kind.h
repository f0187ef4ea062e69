#ifndef HEARTH_ENGINE_FILE_GGUF_KIND_H_
#define HEARTH_ENGINE_FILE_GGUF_KIND_H_

#include <cstdint>

namespace hearth {

// Number of each kind of metadata value in a GGUF file.
enum class GgufKind : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_FILE_GGUF_KIND_H_
