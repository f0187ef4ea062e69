#include "engine/weights/tensor_set.h"

#include <gtest/gtest.h>

#include <utility>

namespace hearth {
namespace {

GgufTensor Tensor(const std::string& name, uint64_t cols) {
  GgufTensor tensor;
  tensor.name = name;
  tensor.ne[0] = cols;
  return tensor;
}

TEST(TensorSet, FindsByName) {
  TensorSet tensors;
  tensors.Add(Tensor("a", 1), {1, 2, 3});
  EXPECT_EQ(tensors.Find("a")->data[2], 3);
  EXPECT_EQ(tensors.Find("b"), nullptr);
}

TEST(TensorSet, ATensorTakesThePlaceOfOneOfItsName) {
  TensorSet tensors;
  for (const auto& [name, cols] : {std::pair("a", 1), std::pair("b", 2), std::pair("a", 3)}) {
    tensors.Add(Tensor(name, cols));
  }
  EXPECT_EQ(tensors.tensors().size(), 2u);
  EXPECT_EQ(tensors.Find("a")->cols(), 3u);
}

}  // namespace
}  // namespace hearth
