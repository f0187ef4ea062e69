#include "engine/kernel/row_matrix.h"

#include <cstring>
#include <vector>

#include "engine/base/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

constexpr size_t kRows = 37;

RowMatrix RowsOf(const TestMatrix& m, ThreadPool& pool, Arithmetic arithmetic) {
  const auto read = [&m](size_t first, size_t count, uint8_t* out) {
    std::memcpy(out, m.row(first), count * m.row_bytes());
  };
  return *RowMatrix::PackRows(m.type, m.rows, m.cols, read, pool, arithmetic);
}

// All rows times all tokens by the matrix kernels, (tokens, rows).
std::vector<float> WholeProduct(const TestMatrix& m, const Activations& x, ThreadPool& pool,
                                Arithmetic arithmetic) {
  const Matrix matrix = *Matrix::Pack(m.type, m.rows, m.cols, m.blocks(), pool, arithmetic);
  std::vector<float> out(x.rows() * m.rows);
  const Product product = {&matrix, out.data(), m.rows};
  MatMul(pool, x, {&product, 1});
  return out;
}

// Rows that are not in order, repeated, and no whole panels.
std::vector<uint32_t> SomeRows(size_t count) {
  std::vector<uint32_t> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<uint32_t>(i * 11 % kRows);
  return ids;
}

// One strip and less, and several of which the last is not full.
std::vector<size_t> StripColumnCounts(TensorType type) {
  const size_t block = GetTypeInfo(type).block_values;
  if (block == 1) return {1, 31, 300};
  return block < 256 ? std::vector<size_t>{block, 256 + 3 * block} : std::vector<size_t>{256, 768};
}

TEST(MatMulRows, GivesTheBitsOfTheWholeMatrixForEveryType) {
  ForEachTarget([] {
    ThreadPool pool(2);
    for (const TypeInfo& info : AllTypes()) {
      SCOPED_TRACE(TypeName(info.type));
      for (const Arithmetic arithmetic : {Arithmetic::kFast, Arithmetic::kFloat32}) {
        for (const size_t cols : StripColumnCounts(info.type)) {
          const TestMatrix m = RandomMatrix(info.type, kRows, cols, 1);
          const RowMatrix rows = RowsOf(m, pool, arithmetic);
          for (const size_t tokens : {1, 3, 17}) {
            const std::vector<float> values = RandomFloats(tokens * cols, 2);
            Activations x;
            x.Set(values.data(), tokens, cols, cols);
            const std::vector<float> whole = WholeProduct(m, x, pool, arithmetic);
            const std::vector<uint32_t> ids = SomeRows(21);
            std::vector<float> out(tokens * ids.size());
            const RowProduct product = {ids, 0, tokens, out.data(), ids.size()};
            MatMulRows(pool, x, rows, {&product, 1});
            for (size_t t = 0; t < tokens; ++t) {
              for (size_t i = 0; i < ids.size(); ++i)
                ASSERT_EQ(out[t * ids.size() + i], whole[t * kRows + ids[i]])
                    << cols << " columns, token " << t;
            }
          }
        }
      }
    }
  });
}

TEST(MatMulRows, GivesEachTokenItsOwnRows) {
  ThreadPool pool(3);
  constexpr size_t kCols = 288, kTokens = 4;
  const TestMatrix m = RandomMatrix(TensorType::kQ4_0, kRows, kCols, 3);
  const RowMatrix rows = RowsOf(m, pool, Arithmetic::kFast);
  const std::vector<float> values = RandomFloats(kTokens * kCols, 4);
  Activations x;
  x.Set(values.data(), kTokens, kCols, kCols);
  const std::vector<float> whole = WholeProduct(m, x, pool, Arithmetic::kFast);
  std::vector<std::vector<uint32_t>> ids;
  for (const size_t count : {5, 0, 16, 33}) ids.push_back(SomeRows(count));
  std::vector<float> out(kTokens * kRows);
  std::vector<RowProduct> products;
  for (size_t t = 0; t < kTokens; ++t) products.push_back({ids[t], t, 1, out.data() + t * kRows, kRows});
  MatMulRows(pool, x, rows, products);
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t i = 0; i < ids[t].size(); ++i)
      EXPECT_EQ(out[t * kRows + i], whole[t * kRows + ids[t][i]]) << "token " << t;
  }
}

TEST(MatMulRows, WritesNothingWithoutIds) {
  ThreadPool pool(1);
  const TestMatrix m = RandomMatrix(TensorType::kQ8_0, kRows, 32, 5);
  const RowMatrix rows = RowsOf(m, pool, Arithmetic::kFast);
  const std::vector<float> values = RandomFloats(32, 6);
  Activations x;
  x.Set(values.data(), 1, 32, 32);
  float out = 7;
  const RowProduct product = {{}, 0, 1, &out, 0};
  MatMulRows(pool, x, rows, {&product, 1});
  EXPECT_EQ(out, 7);
}

TEST(RowMatrixPack, TakesAsManyBytesAsTheFile) {
  ThreadPool pool(1);
  for (const TypeInfo& info : AllTypes()) {
    const TestMatrix m = RandomMatrix(info.type, 3, 512, 7);
    EXPECT_EQ(RowsOf(m, pool, Arithmetic::kFast).bytes(), m.blocks().size()) << TypeName(info.type);
  }
}

TEST(RowMatrixPack, RefusesColumnsThatAreNoWholeBlocks) {
  ThreadPool pool(1);
  const auto read = [](size_t, size_t, uint8_t*) { FAIL() << "read a matrix that cannot be"; };
  EXPECT_EQ(RowMatrix::PackRows(TensorType::kQ4_0, 1, 33, read, pool).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
