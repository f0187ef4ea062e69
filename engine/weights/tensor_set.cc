#include "engine/weights/tensor_set.h"

#include <utility>

#include "engine/base/absl_view.h"

namespace hearth {

TensorSet::TensorSet(const GgufFile& file) : file_(&file) {
  for (const GgufTensor& tensor : file.tensors()) Add(tensor);
}

void TensorSet::Add(GgufTensor tensor) {
  GgufTensor*& place = by_name_[tensor.name];
  if (place != nullptr) {
    *place = std::move(tensor);
  } else {
    place = &tensors_.emplace_back(std::move(tensor));
  }
}

void TensorSet::Add(GgufTensor tensor, std::vector<uint8_t> bytes) {
  tensor.data = owned_.emplace_back(std::move(bytes));
  Add(std::move(tensor));
}

const GgufTensor* TensorSet::Find(std::string_view name) const {
  const auto found = by_name_.find(AbslView(name));
  return found == by_name_.end() ? nullptr : found->second;
}

void TensorSet::Release(absl::Span<const uint8_t> part) const {
  if (file_ != nullptr) file_->Release(part);
}

}  // namespace hearth
