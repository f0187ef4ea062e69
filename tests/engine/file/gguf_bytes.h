#ifndef HEARTH_TESTS_ENGINE_FILE_GGUF_BYTES_H_
#define HEARTH_TESTS_ENGINE_FILE_GGUF_BYTES_H_

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "engine/file/gguf_kind.h"
#include "engine/quant/types.h"

namespace hearth {

// A GGUF file put together byte by byte, apart from the writer, so that it can also be wrong.
class GgufBytes {
 public:
  explicit GgufBytes(uint64_t tensors, uint64_t entries, uint32_t version = 3,
                     std::string_view magic = "GGUF") {
    bytes_.insert(bytes_.end(), magic.begin(), magic.end());
    Put(version).Put(tensors).Put(entries);
  }

  template <class T>
  GgufBytes& Put(T value) {
    const auto* begin = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), begin, begin + sizeof(value));
    return *this;
  }
  GgufBytes& String(std::string_view text) {
    Put(uint64_t{text.size()});
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  GgufBytes& Key(std::string_view key, GgufKind kind) { return String(key).Put(kind); }
  GgufBytes& ArrayKey(std::string_view key, GgufKind kind, uint64_t count) {
    return Key(key, GgufKind::kArray).Put(kind).Put(count);
  }
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& ne, TensorType type,
                    uint64_t offset) {
    String(name).Put(static_cast<uint32_t>(ne.size()));
    for (const uint64_t n : ne) Put(n);
    return Put(static_cast<uint32_t>(type)).Put(offset);
  }
  // Zeros up to the alignment, then `size` bytes of data.
  GgufBytes& Data(size_t size, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + size);
    return *this;
  }

  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_FILE_GGUF_BYTES_H_
