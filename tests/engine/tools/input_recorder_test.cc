#include "engine/tools/input_recorder.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace hearth {
namespace {

TEST(InputRecorder, KeepsEveryNthTokenOfEachLayer) {
  std::vector<FfnLayerSpec> layers(2);
  layers[0].n_embd = layers[1].n_embd = 2;
  InputRecorder recorder(layers, 3);
  std::vector<float> x(8);
  std::iota(x.begin(), x.end(), 0.0f);
  for (const uint32_t layer : {0u, 1u, 0u}) recorder.OnRequest({.layer = layer, .rows = 4, .x = x.data()});
  EXPECT_EQ(recorder.Take(0), (std::vector<float>{0, 1, 6, 7, 4, 5}));  // tokens 0, 3 and 6
  EXPECT_EQ(recorder.Take(1), (std::vector<float>{0, 1, 6, 7}));
  EXPECT_TRUE(recorder.Take(1).empty());
}

}  // namespace
}  // namespace hearth
