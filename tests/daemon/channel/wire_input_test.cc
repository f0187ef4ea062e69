#include "daemon/channel/wire_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/kernel/matrix.h"
#include "engine/quant/quantize.h"

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;

std::vector<float> SomeValues(size_t count, float magnitude) {
  std::mt19937 random(count);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = magnitude * normal(random);
  return values;
}

// What arrives of x, which is expected to travel rounded.
std::vector<float> Travel(const std::vector<float>& x, uint32_t cols, uint32_t block) {
  const uint64_t rows = x.size() / cols;
  WireInput input;
  input.Encode(x.data(), rows, cols, block);
  EXPECT_EQ(input.type(), FrameType::kRounded);
  EXPECT_EQ(input.bytes().size(), WireInputBytes(FrameType::kRounded, rows, cols, block));
  std::vector<float> arrived(x.size());
  DecodeRounded(input.bytes(), rows, cols, block, arrived.data());
  return arrived;
}

FrameType TypeOf(const std::vector<float>& x) {
  WireInput input;
  input.Encode(x.data(), 1, static_cast<uint32_t>(x.size()), 32);
  return input.type();
}

// Products of x, (rows, cols), with a matrix of `type`.
std::vector<float> Products(TensorType type, const std::vector<float>& x, uint32_t cols) {
  constexpr size_t kRows = 48;
  ThreadPool pool(1);
  std::vector<uint8_t> blocks(kRows * RowBytes(type, cols).value());
  EXPECT_TRUE(Quantize(type, SomeValues(kRows * cols, 1), {}, absl::MakeSpan(blocks)).ok());
  const Matrix weights = *Matrix::Pack(type, kRows, cols, blocks, pool);
  Activations activations;
  const size_t rows = x.size() / cols;
  activations.Set(x.data(), rows, cols, cols);
  std::vector<float> out(rows * kRows);
  const Product product{&weights, out.data(), kRows};
  MatMul(pool, activations, {&product, 1});
  return out;
}

TEST(WireInput, TakesAboutAByteForAValue) {
  EXPECT_EQ(WireInputBytes(FrameType::kRounded, 2, 4096, 32), 2u * (4096 + 4096 / 32 * 4));
  EXPECT_EQ(WireInputBytes(FrameType::kRounded, 2, 4096, 256), 2u * (4096 + 4096 / 256 * 4));
  EXPECT_EQ(WireInputBytes(FrameType::kFloat32, 2, 4096, 0), 2u * 4096 * 4);
}

TEST(WireInput, ThatTravelledRoundedGivesTheBitsOfTheOriginal) {
  for (const auto& [type, block] : {std::pair{TensorType::kQ4_0, 32u}, std::pair{TensorType::kQ8_0, 32u},
                                    std::pair{TensorType::kQ4_K, 256u}, std::pair{TensorType::kQ6_K, 256u}}) {
    for (const float magnitude : {1e-25f, 3e-4f, 1.0f, 700.0f, 1e25f}) {
      const std::vector<float> x = SomeValues(5 * 512, magnitude);
      const std::vector<float> arrived = Travel(x, 512, block);
      EXPECT_NE(arrived, x);
      EXPECT_THAT(Products(type, arrived, 512), ElementsAreArray(Products(type, x, 512)));
    }
  }
}

TEST(WireInput, BlocksOfManyMagnitudesRoundTwiceAsOnce) {
  std::vector<float> x = SomeValues(100 * 32, 1);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= std::pow(1.37f, static_cast<float>(i / 32) - 50);
  const std::vector<float> once = Travel(x, 100 * 32, 32);
  EXPECT_THAT(Travel(once, 100 * 32, 32), ElementsAreArray(once));
}

TEST(WireInput, LastBlockMayBeShort) {
  const std::vector<float> x = SomeValues(2 * 45, 1);
  const std::vector<float> arrived = Travel(x, 45, 32);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(arrived[i], x[i], 0.02);
}

TEST(WireInput, ZerosStayZeros) { EXPECT_THAT(Travel(std::vector<float>(64), 64, 32), Each(0.0f)); }

TEST(WireInput, WhatWouldNotRoundTwiceAsOnceTravelsAsItIs) {
  for (const float odd : {std::nanf(""), std::numeric_limits<float>::infinity(), 1e-38f, -1e35f}) {
    std::vector<float> x(64, 0.0f);
    x[40] = odd;
    EXPECT_EQ(TypeOf(x), FrameType::kFloat32) << odd;
  }
}

TEST(WireInput, WithoutABlockTravelsAsItIs) {
  const std::vector<float> x = SomeValues(64, 1);
  WireInput input;
  input.Encode(x.data(), 1, 64, 0);
  EXPECT_EQ(input.type(), FrameType::kFloat32);
  EXPECT_EQ(input.bytes().data(), reinterpret_cast<const uint8_t*>(x.data()));
  EXPECT_EQ(input.bytes().size(), 256u);
}

}  // namespace
}  // namespace hearth
