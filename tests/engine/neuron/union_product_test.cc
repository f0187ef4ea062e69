#include "engine/neuron/union_product.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "engine/base/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

constexpr uint32_t kRows = 700;
constexpr size_t kCols = 64;

std::vector<uint32_t> Every(uint32_t step, uint32_t from) {
  std::vector<uint32_t> ids;
  for (uint32_t id = from; id < kRows; id += step) ids.push_back(id);
  return ids;
}

// The products of rows that want these neurons, which are to be those of each row alone.
void ExpectEachRowsOwn(const std::vector<std::vector<uint32_t>>& wanted) {
  ThreadPool pool(2);
  const TestMatrix m = RandomMatrix(TensorType::kQ4_0, kRows, kCols, 1);
  const auto read = [&m](size_t first, size_t count, uint8_t* out) {
    std::memcpy(out, m.row(first), count * m.row_bytes());
  };
  const RowMatrix weights = *RowMatrix::PackRows(m.type, m.rows, m.cols, read, pool);
  const std::vector<float> values = RandomFloats(wanted.size() * kCols, 2);
  Activations x, one;
  x.Set(values.data(), wanted.size(), kCols, kCols);
  std::vector<std::vector<float>> out(wanted.size(), std::vector<float>(kRows));
  UnionProduct product;
  for (int round = 0; round < 2; ++round) {  // it is reusable
    product.Begin(weights, x, wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) product.SetRow(i, wanted[i], out[i].data());
    product.Run(pool);
    for (size_t i = 0; i < wanted.size(); ++i) {
      one.Set(values.data() + i * kCols, 1, kCols, kCols);
      std::vector<float> alone(kRows);
      const RowProduct own = {wanted[i], 0, 1, alone.data(), 0};
      MatMulRows(pool, one, weights, {&own, 1});
      EXPECT_EQ(out[i], alone) << "row " << i;
    }
  }
}

TEST(UnionProduct, OfOneRow) { ExpectEachRowsOwn({Every(7, 3)}); }
TEST(UnionProduct, OfRowsThatWantEverything) { ExpectEachRowsOwn({5, Every(1, 0)}); }
TEST(UnionProduct, OfRowsThatWantNothing) { ExpectEachRowsOwn({3, std::vector<uint32_t>()}); }
TEST(UnionProduct, OfRowsThatHaveLittleInCommon) {
  ExpectEachRowsOwn({Every(40, 0), Every(40, 13), Every(50, 7), {}});
}
TEST(UnionProduct, OfRowsThatHaveMuchInCommon) {
  ExpectEachRowsOwn({Every(2, 0), Every(2, 0), Every(2, 0), Every(3, 1), Every(2, 0), {698}});
}

}  // namespace
}  // namespace hearth
