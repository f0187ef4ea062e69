#ifndef HEARTH_ENGINE_WEIGHTS_TENSOR_SET_H_
#define HEARTH_ENGINE_WEIGHTS_TENSOR_SET_H_

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/file/gguf.h"

namespace hearth {

// Tensors by name, wherever their bytes are: all of a model file, or the slices of it that one device holds,
// under the names and with the meaning that they have in the file. Movable; immutable once filled.
class TensorSet {
 public:
  TensorSet() = default;
  // Every tensor of the file, which outlives this.
  explicit TensorSet(const GgufFile& file);
  TensorSet(TensorSet&&) = default;
  TensorSet& operator=(TensorSet&&) = default;

  // Adds a tensor whose data is borrowed, or whose data are `bytes`. It takes the place of one of its name.
  void Add(GgufTensor tensor);
  void Add(GgufTensor tensor, std::vector<uint8_t> bytes);

  // nullptr when there is none of that name.
  const GgufTensor* Find(std::string_view name) const;
  const std::deque<GgufTensor>& tensors() const { return tensors_; }
  // The bytes will not be read again: pages of the file's mapping may go.
  void Release(absl::Span<const uint8_t> part) const;

 private:
  const GgufFile* file_ = nullptr;
  std::deque<GgufTensor> tensors_;  // addresses stay
  std::deque<std::vector<uint8_t>> owned_;
  absl::flat_hash_map<std::string, GgufTensor*> by_name_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_TENSOR_SET_H_
