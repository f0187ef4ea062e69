#include "engine/weights/tensor_set.h"

#include <utility>

namespace hearth {

TensorSet::TensorSet(const GgufFile& file) : file_(&file) {
  for (const GgufTensor& tensor : file.tensors()) Add(tensor);
}

void TensorSet::Add(GgufTensor tensor) {
  const GgufTensor& kept = tensors_.emplace_back(std::move(tensor));
  by_name_[kept.name] = &kept;
}

void TensorSet::Add(GgufTensor tensor, std::vector<uint8_t> bytes) {
  tensor.data = owned_.emplace_back(std::move(bytes));
  Add(std::move(tensor));
}

const GgufTensor* TensorSet::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void TensorSet::Release(absl::Span<const uint8_t> part) const {
  if (file_ != nullptr) file_->Release(part);
}

}  // namespace hearth
