#include "engine/kernel/prefetch.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "engine/kernel/matrix.h"

namespace hearth {
namespace {

constexpr uint64_t kLarge = uint64_t{1} << 30;

std::vector<float> ProductOf(const Matrix& matrix, ThreadPool& pool) {
  const std::vector<float> x(matrix.cols(), 0.5f);
  std::vector<float> out(matrix.rows());
  Activations activations;
  activations.Set(x.data(), 1, matrix.cols(), matrix.cols());
  const Product product{&matrix, out.data(), matrix.rows()};
  MatMul(pool, activations, {&product, 1});
  return out;
}

TEST(PrefetchTest, MeasuringOnceOrTwiceChangesNoResultAndSettlesTheChoice) {
  ThreadPool pool(2);
  std::mt19937 random(3);
  std::vector<uint8_t> blocks(512 * RowBytes(TensorType::kQ4_0, 1024).value());
  for (uint8_t& byte : blocks) byte = static_cast<uint8_t>(random() & 0x3f);  // scales stay finite
  const absl::StatusOr<Matrix> matrix = Matrix::Pack(TensorType::kQ4_0, 512, 1024, blocks, pool);
  ASSERT_TRUE(matrix.ok()) << matrix.status();
  const std::vector<float> before = ProductOf(*matrix, pool);
  MeasurePrefetch(kLarge, pool);
  const bool chosen = WantsPrefetch();
  EXPECT_EQ(ProductOf(*matrix, pool), before);
  MeasurePrefetch(kLarge, pool);
  EXPECT_EQ(WantsPrefetch(), chosen);
}

}  // namespace
}  // namespace hearth
